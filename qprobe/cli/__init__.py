"""The command line: parse, call one function of the flow, print."""

from __future__ import annotations

import gc
import os
import sys

ALLOCATIONS = 20_000
"""Before cycles are looked for among the newest objects: with Python's 700 that is a tenth of the time of a plan, whose
objects all stay."""


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(ALLOCATIONS)
    _open_standard_streams()
    from qprobe.cli.commands import qprobe

    qprobe.main()


def _open_standard_streams() -> None:
    """Give those that the caller closed to nobody: a file opened later would get what is written to them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _open_nothing()  # which takes the lowest free number
    sys.stdin = sys.stdin or os.fdopen(_open_nothing())
    sys.stdout = sys.stdout or os.fdopen(_open_nothing(), "w")
    sys.stderr = sys.stderr or os.fdopen(_open_nothing(), "w")


def _open_nothing() -> int:
    return os.open(os.devnull, os.O_RDWR)
