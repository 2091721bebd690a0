"""Does the GPU's memory correct errors, and has it failed to?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine


def check_ecc(machine: Machine) -> Finding:
    """Fail on errors that could not be corrected; off is a choice."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    bad = next((gpu for gpu in machine.gpus if gpu.ecc_uncorrected_errors), None)
    if bad is not None:
        count = bad.ecc_uncorrected_errors
        return CHECK.fail(
            f"{count} memory error{'s' if count != 1 else ''} could not be corrected",
            f"{describe(bad, machine)}, since its driver was loaded. Weights or results in the memory "
            "may have been wrong, and the page stays in use until the card is reset.",
            Fix(
                text="Reset the card or restart; if errors come back, have it replaced.",
                commands=("nvidia-smi -q -d ECC,PAGE_RETIREMENT,ROW_REMAPPER",),
                link="https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/",
            ),
        )
    states = {gpu.ecc for gpu in machine.gpus}
    if states == {None}:
        return CHECK.skip("the card has none, or does not tell")
    if False in states:
        return CHECK.ok(
            "off",
            "Errors of the memory pass unnoticed. On cards with GDDR memory, turning it on costs some "
            "bandwidth and memory.",
        )
    return CHECK.ok("on, no error left uncorrected" if _all_counted(machine) else "on")


def _all_counted(machine: Machine) -> bool:
    return all(gpu.ecc_uncorrected_errors is not None for gpu in machine.gpus if gpu.ecc)


CHECK = Check(
    id="ecc",
    title="GPU memory errors",
    why="a bad cell gives wrong answers that look like those of a bad quantization",
    needs=("gpu",),
    asks=("facts",),
    run=check_ecc,
)
