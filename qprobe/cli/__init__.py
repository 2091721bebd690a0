"""The command line: parse, call one function of the flow, print."""

from __future__ import annotations

import gc

ALLOCATIONS = 20_000
"""Before cycles are looked for among the newest objects: with Python's 700 that is a tenth of the time of a plan, whose
objects all stay."""


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(ALLOCATIONS)
    from qprobe.cli.commands import qprobe

    qprobe.main()
