"""Do the installed libraries have known faults on this machine?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._faults import report
from qprobe.doctor.rules.faults import find_faults
from qprobe.doctor.rules.libraries import FAULTS
from qprobe.documents.finding import Finding
from qprobe.documents.machine import Machine


def check_libraries(machine: Machine) -> Finding:
    """Look for each known fault's versions, card and driver."""
    hits = find_faults(machine, FAULTS)
    if hits:
        return report(CHECK, hits, machine)
    return CHECK.ok(f"none of {len(FAULTS)} known faults")


CHECK = Check(
    id="libraries",
    title="Library versions",
    why="some versions are known to fail together, or on some cards",
    needs=(),
    asks=("facts",),
    run=check_libraries,
)
