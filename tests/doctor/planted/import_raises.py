from __future__ import annotations

from qprobe.doctor._method import Method
from qprobe.doctor.execution.report import Report


def load() -> None:
    raise OSError("libnowhere.so.12: cannot open shared object file")


def script(report: Report) -> None:
    if report.load("planted", load):
        report.attempt("never", lambda: None)


METHOD = Method("import-raises", "planted", 8, "planted", script)
