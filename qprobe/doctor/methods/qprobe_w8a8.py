"""qprobe's own W8A8: int8 weights and activations."""

from __future__ import annotations

from qprobe.doctor.methods._qprobe import qprobe_method

METHOD = qprobe_method(
    "W8A8",
    level="quick",
    feature="int8",
    fallback="it multiplies by dp4a on the plain cores where those have it, else in 16 bits",
)
