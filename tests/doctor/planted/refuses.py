from __future__ import annotations

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Report


def refuse() -> None:
    raise NotImplementedError("igemmlt not available (probably built with NO_CUBLASLT)")


def script(report: Report) -> None:
    report.attempt("float16, M = 1, N = 8, K = 8", refuse)


METHOD = Method("refuses", "planted", 8, "planted", script)
