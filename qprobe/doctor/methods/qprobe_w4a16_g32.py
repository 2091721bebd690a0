"""qprobe's own W4A16_G32: int4 weights in groups of 32."""

from __future__ import annotations

from qprobe.doctor.methods._qprobe import qprobe_method

METHOD = qprobe_method("W4A16_G32")
