"""Is transformers there, so that models can be run?"""

from __future__ import annotations

from qprobe.doctor._check import Check, version_of
from qprobe.doctor.checks._cuda import torch_command
from qprobe.doctor.rules.hardware import lacks
from qprobe.doctor.rules.versions import matches
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

OLDEST = (5,)
_FALLBACK = "<0.45"
"""bitsandbytes that computes in float16 where a card has no int8 tensor cores; transformers 5 refuses it."""
_ENVIRONMENT = "qprobe-env"


def check_hf(machine: Machine) -> Finding:
    """Warn without transformers ≥ 5; where upgrading it would break another library, say so."""
    version = machine.software.packages.get("transformers")
    if version is not None and version_of(version) >= OLDEST:
        return CHECK.ok(version)
    summary = "not installed" if version is None else f"{version} is older than 5"
    detail = (
        "Without it a plan is made from the checkpoint's headers alone: the model cannot be run, so "
        "its error is estimated, not measured."
    )
    if version is not None and _needs_fallback(machine):
        return CHECK.warn(
            f"{summary}; do not upgrade it here",
            f"{detail} transformers 5 asks for bitsandbytes 0.46.1 or later, whose int8 layers have no "
            "fallback for this card: upgrading takes away what runs.",
            Fix(
                text="Leave this environment as it is, and give qprobe one of its own.",
                commands=(
                    f"python -m venv {_ENVIRONMENT}",
                    *(_in_environment(torch) for torch in [torch_command(machine)] if torch),
                    _in_environment('pip install "qprobe[hf]"'),
                ),
            ),
        )
    return CHECK.warn(
        summary,
        detail,
        Fix(text="Install the extra `hf`.", commands=('pip install --upgrade "qprobe[hf]"',)),
    )


def _needs_fallback(machine: Machine) -> bool:
    """Whether bitsandbytes is one of those that still run in int8's place on one of the cards."""
    installed = machine.software.packages.get("bitsandbytes", "")
    return matches(installed, _FALLBACK) and any(lacks("int8", gpu) for gpu in machine.gpus)


def _in_environment(command: str) -> str:
    """The same command of pip, in the environment that is new."""
    return f"{_ENVIRONMENT}/bin/{command.replace(' --force-reinstall', '')}"


CHECK = Check(
    id="hf",
    title="transformers",
    why="models are run with it, to calibrate and to verify",
    needs=(),
    asks=(),
    run=check_hf,
)
