"""Can a LoRA be merged into a model quantized by bitsandbytes, and does its int8 run here?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._faults import report
from qprobe.doctor.rules.bitsandbytes import FAULTS
from qprobe.doctor.rules.faults import find_faults
from qprobe.documents.finding import Finding
from qprobe.documents.machine import Machine


def check_peft_bitsandbytes(machine: Machine) -> Finding:
    """Look for the known faults of the installed versions on these cards."""
    packages = machine.software.packages
    if "bitsandbytes" not in packages:
        return CHECK.skip("bitsandbytes is not installed")
    hits = find_faults(machine, FAULTS)
    if hits:
        return report(CHECK, hits, machine)
    names = [name for name in ("bitsandbytes", "peft") if name in packages]
    return CHECK.ok(", ".join(f"{name} {packages[name]}" for name in names))


CHECK = Check(
    id="peft-bitsandbytes",
    title="bitsandbytes",
    why="a merge that fails, or an int8 layer that crawls, shows only at run time",
    needs=(),
    asks=("facts",),
    run=check_peft_bitsandbytes,
)
