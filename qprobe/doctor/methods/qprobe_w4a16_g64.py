"""qprobe's own W4A16_G64: int4 weights in groups of 64."""

from __future__ import annotations

from qprobe.doctor.methods._qprobe import qprobe_method

METHOD = qprobe_method("W4A16_G64")
