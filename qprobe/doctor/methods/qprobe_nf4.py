"""qprobe's own NF4: NormalFloat weights in blocks of 64."""

from __future__ import annotations

from qprobe.doctor.methods._qprobe import qprobe_method

METHOD = qprobe_method("NF4")
