"""qprobe's own FP8_DYNAMIC: float8 weights and activations."""

from __future__ import annotations

from qprobe.doctor.methods._qprobe import qprobe_method

METHOD = qprobe_method(
    "FP8_DYNAMIC",
    feature="fp8",
    without="slow",
    fallback="the weights are written out in 16 bits at every call",
)
