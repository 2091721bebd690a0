"""Is the GPU divided into slices, and is there one to use?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

_GUIDE = "https://docs.nvidia.com/datacenter/tesla/mig-user-guide/"


def check_mig(machine: Machine) -> Finding:
    """Warn of slices: what is told of the card does not hold for them; fail where there is none."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    gpu = next((gpu for gpu in machine.gpus if gpu.mig), None)
    if gpu is None:
        known = [gpu for gpu in machine.gpus if gpu.mig is not None]
        return CHECK.ok("off") if known else CHECK.skip("this card cannot be divided")
    card = describe(gpu, machine)
    if gpu.mig_profiles == ():
        return CHECK.fail(
            "on, and no slice is made",
            f"{card} is divided by MIG into no slices yet: CUDA finds no device on it.",
            Fix(
                text="Make slices, or turn MIG off and restart the card.",
                commands=("nvidia-smi mig -cgi 0 -C", f"nvidia-smi -i {gpu.index} -mig 0"),
                link=_GUIDE,
            ),
        )
    slices = ", ".join(gpu.mig_profiles or ()) or "unknown slices"
    return CHECK.warn(
        f"on: {slices}",
        f"{card} is divided. A process gets one slice, with its part of the multiprocessors, the "
        "memory and the bandwidth; figures of the whole card do not hold, and plans and measurements "
        "for it do not carry over.",
        Fix(
            text="Choose a slice by CUDA_VISIBLE_DEVICES, and measure on it.",
            commands=("nvidia-smi -L", "qprobe bench --device cuda:0"),
            link=_GUIDE,
        ),
    )


CHECK = Check(
    id="mig",
    title="MIG",
    why="a slice has a fraction of the card's speed and memory under the card's name",
    needs=("gpu",),
    run=check_mig,
)
