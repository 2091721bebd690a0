"""Do other programs use the cores?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._limits import usable_cores
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

_MOST = 0.5  # of the usable cores: half of them busy is felt in every measurement


def check_load(machine: Machine) -> Finding:
    """Compare the load of the last minute with the cores."""
    load = machine.host.load if machine.host else None
    if load is None:
        return CHECK.skip("unknown", machine.unanswered.get("host.load", ""))
    cores = usable_cores(machine)
    noun = "core" if cores == 1 else "cores"
    if load <= _MOST * cores:
        return CHECK.ok(f"a load of {load:.1f} on {cores} {noun}")
    return CHECK.warn(
        f"a load of {load:.1f} on {cores} {noun}",
        "So many threads ran or waited to over the last minute, before the probe. What is measured "
        "beside them is slower and varies; in a container the load is that of the whole machine.",
        Fix(text="Measure when the other programs have ended.", commands=("qprobe doctor load",)),
    )


CHECK = Check(
    id="load",
    title="Other programs",
    why="what runs beside a measurement slows it down, by another factor every time",
    needs=(),
    asks=(),
    run=check_load,
)
