"""The least time that a piece of work can take on a device: its bytes or its operations, whichever is more."""

from __future__ import annotations

from dataclasses import dataclass

from qprobe.documents.base import DTYPE_BYTES, FloatDtype, Quantity
from qprobe.documents.profile import KernelFact, Profile, Shape
from qprobe.documents.scheme import CastWeights, Scheme

UNCERTAINTY = 0.5
"""Kernels reach half to all of the roofline."""
ASSUMED_BANDWIDTH_BYTES_PER_S = 10e9
ASSUMED_OPS_PER_S = 50e9
"""One core of a desktop processor: where the profile says nothing, so that candidates still compare."""
ASSUMED_UNCERTAINTY = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What one call moves and computes; `unit` is the data type that is multiplied."""

    moved_bytes: int
    ops: int
    unit: str
    bytes_before: int = 0
    """Of what is moved, that which is moved before anything is multiplied."""

    def seconds(self, bytes_per_s: float, ops_per_s: float) -> float:
        """The least time at these rates."""
        beside = self.moved_bytes - self.bytes_before
        return self.bytes_before / bytes_per_s + max(beside / bytes_per_s, self.ops / ops_per_s)


def linear_work(scheme: Scheme, fact: KernelFact, dtype: FloatDtype, shape: Shape) -> Work:
    """Bytes and operations of one linear of a scheme through such a kernel, activations in `dtype`."""
    m, n, k = shape.m, shape.n, shape.k
    width = DTYPE_BYTES[dtype]
    weight = scheme.weight_bytes(n, k, dtype)
    moved, before = m * (n + k) * width + weight, 0
    unit: str = dtype
    if isinstance(scheme.weights, CastWeights):
        unit = scheme.weights.dtype
    elif scheme.is_quantized and fact.dequantizes:
        before = weight + n * k * width
        moved += 2 * n * k * width  # the dequantized weight is written, then read
    elif scheme.input_activations is not None and fact.multiplies_codes:
        unit = "int8" if scheme.input_activations.type == "int" else "float8_e4m3fn"
        moved += 2 * m * k  # the codes of the activations are written, then read
    return Work(moved, 2 * m * n * k, unit, before)


def attainable(profile: Profile, work: Work, launch_s: float) -> Quantity:
    """Seconds of the work by the profile's bandwidth and peaks; always `modelled`.

    A data type without a peak is taken to be as fast as float32; a profile that knows neither
    is taken for a slow machine, with more uncertainty.
    """
    bandwidth = profile.copy_bandwidth_bytes_per_s
    peak = profile.peaks.get(work.unit) or profile.peaks.get("float32")
    seconds = launch_s + work.seconds(
        bandwidth or ASSUMED_BANDWIDTH_BYTES_PER_S, peak.ops_per_s if peak else ASSUMED_OPS_PER_S
    )
    known = bandwidth is not None and peak is not None
    uncertainty = UNCERTAINTY if known else ASSUMED_UNCERTAINTY
    return Quantity(value=seconds, provenance="modelled", uncertainty=uncertainty)
