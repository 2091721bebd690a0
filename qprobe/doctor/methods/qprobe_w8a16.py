"""qprobe's own W8A16: int8 weights, activations as they are."""

from __future__ import annotations

from qprobe.doctor.methods._qprobe import qprobe_method

METHOD = qprobe_method("W8A16", level="quick")
