"""The facts about this machine."""

from __future__ import annotations

from qprobe.documents.machine import Machine


def probe() -> Machine:
    """Ask the machine; what could not be read is in `unanswered`."""
    from qprobe.probe import probe_machine

    return probe_machine()
