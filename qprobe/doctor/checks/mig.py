"""Is the GPU divided into slices, and is there one to use?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe, slice_sizes, tell_slices
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine

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
                commands=(
                    f"nvidia-smi mig -i {gpu.index} -cgi 0 -C",
                    f"nvidia-smi -i {gpu.index} -mig 0",
                ),
                labels=("", "or"),
                link=_GUIDE,
            ),
        )
    slices = ", ".join(gpu.mig_profiles or ()) or "unknown slices"
    return CHECK.warn(
        f"on: {slices}",
        f"{card} is divided. A process gets {tell_slices(gpu)}, with its part of the multiprocessors, the "
        "memory and the bandwidth; figures of the whole card do not hold, and plans and measurements "
        "for it do not carry over. Without a choice CUDA takes the first.",
        Fix(
            text=f"Look at the slices, choose one (here the first{_of(gpu)}), and measure on it: it is then "
            "cuda:0.",
            commands=("nvidia-smi -L", _choose(gpu), "qprobe bench --device cuda:0"),
            link=_GUIDE,
        ),
    )


def _largest(gpu: Gpu) -> str:
    """The profile with the most memory; "" where none is told."""
    size = next(iter(slice_sizes(gpu)), None)
    return next((name for name in gpu.mig_profiles or () if f".{size}gb" in name), "")


def _of(gpu: Gpu) -> str:
    profile = _largest(gpu)
    return f" of {profile}" if profile else ""


def _choose(gpu: Gpu) -> str:
    """Take the identifier of a slice from the driver's list, of which nothing is kept."""
    profile = _largest(gpu)
    only = f" | grep -F '{profile} '" if profile else ""
    return f"export CUDA_VISIBLE_DEVICES=$(nvidia-smi -L{only} | grep -o -m 1 'MIG-[^)]*')"


CHECK = Check(
    id="mig",
    title="MIG",
    why="a slice has a fraction of the card's speed and memory under the card's name",
    needs=("gpu",),
    asks=("facts",),
    run=check_mig,
)
