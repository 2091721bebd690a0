from __future__ import annotations

from qprobe.doctor.execution.report import Answer
from tests.doctor.planted._steps import around

METHOD = around("not-finite", lambda: Answer(float("nan"), 0.1))
