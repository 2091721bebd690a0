from __future__ import annotations

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Answer, Report
from tests.doctor.planted._steps import FIRST, LAST


def fall_off_the_bus() -> None:
    raise RuntimeError("CUDA error: unspecified launch failure")


def script(report: Report) -> None:
    report.attempt(FIRST, lambda: Answer(0.01, 0.02))
    if report.kind == "cuda":
        report.attempt(LAST, fall_off_the_bus)


METHOD = Method("loses-gpu", "planted", 8, "planted", script)
