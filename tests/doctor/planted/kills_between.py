from __future__ import annotations

import os
import signal
import time

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Answer, Report
from tests.doctor.planted._steps import FIRST


def script(report: Report) -> None:
    report.attempt(FIRST, lambda: Answer(0.01, 0.02))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


METHOD = Method("kills-between", "planted", 8, "planted", script)
