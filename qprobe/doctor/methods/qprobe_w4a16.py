"""qprobe's own W4A16: int4 weights in groups of 128."""

from __future__ import annotations

from qprobe.doctor.methods._qprobe import qprobe_method

METHOD = qprobe_method("W4A16", level="quick")
