"""Is torch there, new enough, and built with oneDNN?"""

from __future__ import annotations

from qprobe.doctor._check import Check, version_of
from qprobe.doctor.checks._cuda import torch_fix
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import IMPORT, Machine

OLDEST = (2, 6)


def check_torch(machine: Machine) -> Finding:
    """Fail without torch ≥ 2.6; warn without oneDNN."""
    torch = machine.software.torch
    if torch is None:
        words = machine.unanswered.get("software.torch", "torch is not installed")
        if "torch" not in machine.software.packages:
            return CHECK.fail("not installed", words, torch_fix(machine, "Install it."))
        if words.startswith(IMPORT):
            fix = torch_fix(machine, "Install it anew.")
            return CHECK.fail("installed, but it cannot be imported", words, fix)
        return CHECK.fail(
            "installed, but it did not answer",
            words,
            Fix(
                text="Try again: a first import from a slow disk, or little memory, can be the reason. If it "
                "stays so, see where the import ends.",
                commands=('python -X faulthandler -c "import torch"',),
            ),
        )
    if version_of(torch.version) < OLDEST:
        return CHECK.fail(
            f"{torch.version} is older than 2.6",
            "qprobe uses operators and torch.library functions that came with 2.6.",
            torch_fix(machine, "Upgrade it."),
        )
    build = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}" if torch.hip else "CPU"
    if not torch.onednn:
        return CHECK.warn(
            f"{torch.version} without oneDNN",
            "The int8 and prepacked bf16 kernels for the CPU come from oneDNN; the reference kernel "
            "runs instead, slowly.",
            torch_fix(machine, "Install an official build, which has oneDNN."),
        )
    return CHECK.ok(f"{torch.version}, built for {build}, with oneDNN")


CHECK = Check(
    id="torch",
    title="PyTorch",
    why="every layer and kernel of qprobe runs through it",
    needs=(),
    asks=("facts",),
    run=check_torch,
)
