"""Is the GPU's power limited below what it was sold with?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

_TOLERANCE = 0.98  # drivers round


def check_power(machine: Machine) -> Finding:
    """Compare the limit in force with the card's own."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    told = [
        (gpu, gpu.power_limit_w, gpu.power_limit_default_w)
        for gpu in machine.gpus
        if gpu.power_limit_w is not None and gpu.power_limit_default_w is not None
    ]
    for gpu, limit, default in told:
        if limit < _TOLERANCE * default:
            return CHECK.warn(
                f"limited to {limit:.0f} of {default:.0f} W",
                f"{describe(gpu, machine)} slows down under a load that takes more: prefill and large "
                "batches feel it, generating one token at a time hardly does.",
                Fix(
                    text="Raise the limit, if the machine can cool and feed the card.",
                    commands=(f"nvidia-smi -i {gpu.index} -pl {default:.0f}",),
                ),
            )
    if not told:
        return CHECK.skip("the driver does not tell")
    return CHECK.ok(", ".join(f"{limit:.0f} W" for _, limit, _ in told))


CHECK = Check(
    id="power",
    title="GPU power",
    why="a card under a power cap is slower than others of its name",
    needs=("gpu",),
    asks=("facts",),
    run=check_power,
)
