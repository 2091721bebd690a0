"""A method of three steps, of which the one in the middle is the planted one."""

from __future__ import annotations

from collections.abc import Callable

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Answer, Report

FIRST = "float32, M = 1, N = 8, K = 8"
MIDDLE = "float32, M = 2, N = 8, K = 8"
LAST = "float32, M = 3, N = 8, K = 8"


def around(name: str, step: Callable[[], Answer | None]) -> Method:
    def script(report: Report) -> None:
        report.attempt(FIRST, lambda: Answer(0.01, 0.02))
        report.attempt(MIDDLE, step)
        report.attempt(LAST, lambda: Answer(0.01, 0.02))

    return Method(name, "planted", 8, "planted", script)
