from __future__ import annotations

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Report


def script(_report: Report) -> None:
    raise KeyError("nobody caught this")


METHOD = Method("raises-outside", "planted", 8, "planted", script)
