"""Is transformers there, so that models can be run?"""

from __future__ import annotations

from qprobe.doctor._check import Check, version_of
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

OLDEST = (5,)


def check_hf(machine: Machine) -> Finding:
    """Warn without transformers ≥ 5."""
    version = machine.software.packages.get("transformers")
    if version is not None and version_of(version) >= OLDEST:
        return CHECK.ok(version)
    return CHECK.warn(
        "not installed" if version is None else f"{version} is older than 5",
        "Without it a plan is made from the checkpoint's headers alone: the model cannot be run, so "
        "its error is estimated, not measured.",
        Fix(text="Install the extra `hf`.", commands=('pip install --upgrade "qprobe[hf]"',)),
    )


CHECK = Check(
    id="hf",
    title="transformers",
    why="models are run with it, to calibrate and to verify",
    needs=(),
    run=check_hf,
)
