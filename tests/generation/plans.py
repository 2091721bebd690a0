"""Plans that treat every layer of a model alike, through one kernel, or one for few rows and one for more."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
import torch

from qprobe.documents.model import Model
from qprobe.documents.plan import GroupPlan, KernelRange, Plan
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import QprobeError
from qprobe.kernels._kernel import Kernel
from qprobe.kernels.registry import choose_algorithm, get_kernel, kernels_for
from qprobe.layers import make_layer
from tests.layers.hostile import DTYPES, Way, random_linear, ways
from tests.plans import plan_for


def _cover(found: Iterable[Way]) -> tuple[Way, ...]:
    """Every scheme by the reference, and every kernel by one scheme."""
    found = sorted(found, key=lambda way: (way.kernel.id != "reference", way.scheme))
    kernels: set[str] = set()
    kept = []
    for way in found:
        if way.kernel.id == "reference" or way.kernel.id not in kernels:
            kernels.add(way.kernel.id)
            kept.append(way)
    return tuple(kept)


WAYS = _cover(ways(64, 128))
"""The generator's layers suit every kernel."""
EVERY_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.id)


@dataclass(frozen=True)
class Crossing:
    """A scheme by two kernels of one packing: one for few rows, the other for more."""

    scheme: str
    few: Kernel
    many: Kernel
    dtype: torch.dtype

    @property
    def id(self) -> str:
        return f"{self.scheme}-{self.few.id}-{self.many.id}"


def _ranges(few: Kernel, many: Kernel, rows: int) -> tuple[KernelRange, ...]:
    return (
        KernelRange(kernel=few.id, m_min=1, m_max=rows),
        KernelRange(kernel=many.id, m_min=rows + 1, m_max=None),
    )


def _crossings() -> tuple[Crossing, ...]:
    """Every kernel for few rows with every other of its packing; the reference with one, where there is none."""
    kernels = [kernel for kernel in kernels_for("cpu") if not kernel.absent("cpu")]
    pairs = [
        (few, many)
        for few, many in itertools.permutations(kernels, 2)
        if few.packing == many.packing and few.max_rows and not many.max_rows
    ]
    pairs = [pair for pair in pairs if pair[1].id != "reference"] or [
        (get_kernel("reference"), get_kernel("cpu.dequantize_blocks"))
    ]
    return tuple(
        Crossing(scheme, *pair, dtype)
        for pair in pairs
        for scheme in sorted(pair[0].schemes & pair[1].schemes)
        if (dtype := _first_dtype(scheme, *pair))
    )


def _first_dtype(scheme: str, few: Kernel, many: Kernel) -> torch.dtype | None:
    """The first compute type that both take; None: none."""
    linear = random_linear(64, 128)
    algorithm = choose_algorithm(SCHEMES[scheme], many)
    for dtype in DTYPES:
        try:
            make_layer(linear, SCHEMES[scheme], algorithm, _ranges(few, many, 1), dtype)
        except QprobeError:
            continue
        return dtype
    return None


EVERY_CROSSING = pytest.mark.parametrize("crossing", _crossings(), ids=lambda found: found.id)


def crossing_plan(model: Model, crossing: Crossing, rows: int) -> Plan:
    """Every layer by the first kernel up to so many rows, by the second beyond."""
    scheme = SCHEMES[crossing.scheme]
    group = GroupPlan(
        scheme=scheme,
        algorithm=choose_algorithm(scheme, crossing.many),
        kernels=_ranges(crossing.few, crossing.many, rows),
        reasons=("because the test says so",),
        rejected=(),
    )
    return plan_for(model, group, compute_dtype=str(crossing.dtype).removeprefix("torch."))


def plan_of(model: Model, way: Way, **changes) -> Plan:
    """Every layer by one way."""
    dtype = str(way.dtype).removeprefix("torch.")
    return uniform_plan(model, way.scheme, way.kernel.id, compute_dtype=dtype, **changes)


def uniform_plan(
    model: Model, scheme: str, kernel: str = "reference", algorithm: str = "", **changes
) -> Plan:
    """Every layer under the scheme, the head included; the algorithm that suits the kernel."""
    group = GroupPlan(
        scheme=SCHEMES[scheme],
        algorithm=algorithm or choose_algorithm(SCHEMES[scheme], get_kernel(kernel)),
        kernels=(KernelRange(kernel=kernel, m_min=1, m_max=None),),
        reasons=("because the test says so",),
        rejected=(),
    )
    return plan_for(model, group, **changes)
