from __future__ import annotations

from qprobe.doctor.execution.report import Answer
from tests.doctor.planted._steps import around

METHOD = around("wrong", lambda: Answer(1.4, 0.1))
