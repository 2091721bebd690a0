from __future__ import annotations

import os
import time

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Report


def compile_slowly() -> None:
    time.sleep(float(os.environ.get("PLANTED_COMPILES_S", "0")))


def script(report: Report) -> None:
    if report.load("planted", lambda: None) and report.load("planted", compile_slowly, "compile"):
        report.attempt("float32, M = 1, N = 8, K = 8", lambda: None)


METHOD = Method("compiles", "planted", 8, "planted", script)
