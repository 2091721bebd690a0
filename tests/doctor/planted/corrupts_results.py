from __future__ import annotations

import os

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Report


def script(report: Report) -> None:
    report.attempt("before", lambda: None)
    os.write(report._channel, b"not a message\n" + b'{"event":"begin"}\n')
    report.attempt("after", lambda: None)


METHOD = Method("corrupts-results", "planted", 8, "planted", script)
