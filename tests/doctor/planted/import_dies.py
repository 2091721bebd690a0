from __future__ import annotations

import os
import signal

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Report


def load() -> None:
    os.kill(os.getpid(), signal.SIGILL)


def script(report: Report) -> None:
    report.load("planted", load)


METHOD = Method("import-dies", "planted", 8, "planted", script)
