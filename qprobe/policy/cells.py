"""Seconds of one cell: measured, interpolated between measurements, or by roofline."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from qprobe.documents.base import FloatDtype, Quantity
from qprobe.documents.profile import KernelFact, Measurement, Profile, Shape
from qprobe.documents.roofline import attainable, linear_work
from qprobe.documents.scheme import SCHEMES, CastWeights

INTERPOLATION_UNCERTAINTY = 0.25
LEAST_S = 1e-12
"""Stands for a time of 0 where a logarithm is taken."""

_Key = tuple[str, str, FloatDtype, int, int]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why something cannot be computed here."""

    reasons: tuple[str, ...]


_CASTS: dict[str, str] = {
    scheme.weights.dtype: name
    for name, scheme in SCHEMES.items()
    if isinstance(scheme.weights, CastWeights)
}


def measured_as(scheme: str, dtype: FloatDtype) -> str:
    """The scheme whose measurements tell of another: a model stored in 16 bits is as fast as one cast to them."""
    return _CASTS.get(dtype, scheme) if SCHEMES[scheme].weights is None else scheme


class Cells:
    """The measurements of a profile, by scheme, kernel, activation type, N and K, over M."""

    def __init__(self, profile: Profile, launch_s: float, *, is_eager: bool = True) -> None:
        """Index the profile; `launch_s` is what a modelled call costs besides its work.

        `is_eager`: each call is started by the host, which takes its time as well.
        """
        self._profile = profile
        self._launch_s = launch_s
        self._is_eager = is_eager
        self._facts = profile.kernel_facts()
        self._measured: dict[_Key, dict[int, Measurement]] = defaultdict(dict)
        self._skipped: dict[_Key, dict[int, str]] = defaultdict(dict)
        for measurement in profile.measurements:
            cell = measurement.cell
            self._measured[
                cell.scheme, cell.kernel, cell.activation_dtype, cell.shape.n, cell.shape.k
            ][cell.shape.m] = measurement
        for skipped in profile.skipped:
            cell = skipped.cell
            self._skipped[
                cell.scheme, cell.kernel, cell.activation_dtype, cell.shape.n, cell.shape.k
            ][cell.shape.m] = skipped.reason

    def rows(
        self,
        scheme: str,
        kernels: Iterable[str],
        dtype: FloatDtype,
        shapes: Iterable[tuple[int, int]],
    ) -> set[int]:
        """Every M that was measured for one of the kernels on one of the (N, K)."""
        stored = measured_as(scheme, dtype)
        keys = [(stored, kernel, dtype, n, k) for kernel in kernels for n, k in shapes]
        return {m for key in keys for m in self._measured.get(key, ())}

    def seconds(
        self, scheme: str, kernel: str, dtype: FloatDtype, shape: Shape, *, shared_input: bool
    ) -> Quantity | Unavailable:
        """Seconds of one call; `shared_input`: an earlier layer has quantized the same input."""
        key = (measured_as(scheme, dtype), kernel, dtype, shape.n, shape.k)
        points = self._measured.get(key, {})
        if shape.m in points:
            return self._quantity(points[shape.m], shared_input=shared_input)
        skipped = self._skipped.get(key, {})
        if shape.m in skipped:
            return Unavailable((skipped[shape.m],))
        if skipped and not points:
            return Unavailable((skipped[min(skipped)],))
        fact = self._facts[kernel]
        if fact.unproven and not points:
            return Unavailable(("no device has measured it yet: measure this shape",))
        if fact.max_rows is not None and shape.m > max([fact.max_rows, *points]):
            return Unavailable((f"it is meant for M up to {fact.max_rows}",))
        below = max((m for m in points if m < shape.m), default=None)
        above = min((m for m in points if m > shape.m), default=None)
        if below is not None and above is not None:
            share = math.log(shape.m / below) / math.log(above / below)
            ends = (self._value(points[m], shared_input=shared_input) for m in (below, above))
            low, high = (math.log(max(end, LEAST_S)) for end in ends)
            return Quantity(
                value=math.exp(low + share * (high - low)),
                provenance="modelled",
                uncertainty=INTERPOLATION_UNCERTAINTY,
            )
        modelled = self._roofline(scheme, fact, dtype, shape)
        nearest = below if below is not None else above
        if nearest is None:
            return modelled
        # Outside the measured M the roofline gives the slope, the nearest measurement the height.
        anchor = self._roofline(scheme, fact, dtype, shape.model_copy(update={"m": nearest}))
        height = self._value(points[nearest], shared_input=shared_input)
        height /= max(anchor.value, LEAST_S)
        return modelled.model_copy(update={"value": modelled.value * height})

    def reaches(self, scheme: str, kernel: str, dtype: FloatDtype, shape: Shape) -> bool:
        """Whether nothing was skipped between this M and the next that was measured, on either side."""
        key = (measured_as(scheme, dtype), kernel, dtype, shape.n, shape.k)
        points, skipped, m = self._measured.get(key, {}), self._skipped.get(key, {}), shape.m
        if not points:
            return not skipped
        below = max((point for point in points if point <= m), default=m)
        above = min((point for point in points if point >= m), default=m)
        return any(
            point in points and not any(min(m, point) <= row <= max(m, point) for row in skipped)
            for point in (below, above)
        )

    def _roofline(self, scheme: str, fact: KernelFact, dtype: FloatDtype, shape: Shape) -> Quantity:
        work = linear_work(SCHEMES[scheme], fact, dtype, shape)
        return attainable(self._profile, work, self._launch_s)

    def _value(self, measurement: Measurement, *, shared_input: bool) -> float:
        """Seconds of a call in a row of many: the host starts one while the GPU computes another."""
        seconds = measurement.median_s
        if shared_input and measurement.shared_input_s is not None:
            seconds = measurement.shared_input_s
        return max(seconds, measurement.host_s or 0.0) if self._is_eager else seconds

    def _quantity(self, measurement: Measurement, *, shared_input: bool) -> Quantity:
        spread = abs(measurement.p80_s - measurement.p20_s)
        return Quantity(
            value=self._value(measurement, shared_input=shared_input),
            provenance="measured",
            uncertainty=spread / (2 * measurement.median_s) if measurement.median_s else 0.0,
        )
