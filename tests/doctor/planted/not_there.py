from __future__ import annotations

from qprobe.doctor._method import Method

METHOD = Method(
    "not-there", "planted", 8, "planted", lambda _report: None, needs=("no-such-distribution",)
)
