"""Is there exactly one CuPy, for the right CUDA?"""

from __future__ import annotations

import re

from qprobe.doctor._check import Check, version_of
from qprobe.doctor.checks._cuda import (
    cuda_major,
    driver_fix,
    driver_is_before,
    is_before_turing,
    major,
)
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

OLDEST = (14,)


def check_cupy(machine: Machine) -> Finding:
    """Look at the installed distributions, and at which CUDA the card, the driver and torch take."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    found = {
        name: version
        for name, version in machine.software.packages.items()
        if re.fullmatch(r"cupy(-cuda\d+x?|-rocm-\d+-\d+)?", name)
    }
    right = f"cupy-cuda{_wanted_major(machine)}x"
    install = f'pip install "qprobe[cuda{_wanted_major(machine)}]"'
    if not found:
        return CHECK.warn(
            "not installed: no CUDA kernels of qprobe",
            "Quantized layers run on the GPU by torch's own operators; the bundled CUDA kernels are "
            "built and launched through CuPy.",
            Fix(text=f"Install {right}.", commands=(install,)),
        )
    if len(found) > 1:
        return CHECK.fail(
            f"{len(found)} of them overwrite each other",
            f"{', '.join(found)} install into the same folder; what is imported is a mix of them.",
            Fix(
                text=f"Remove all, then install {right}.",
                commands=(f"pip uninstall -y {' '.join(found)}", install),
            ),
        )
    ((name, version),) = found.items()
    replace = Fix(text=f"Replace it by {right}.", commands=(f"pip uninstall -y {name}", install))
    if reason := _misfit(name, machine):
        if driver_is_before(machine, 12):
            replace = driver_fix(machine, "Install a newer driver.")
        return CHECK.fail(f"{name} does not suit this machine", reason, replace)
    if version_of(version) < OLDEST:
        return CHECK.warn(
            f"{version} is older than 14",
            "Older versions do not find the NVRTC compiler that pip installs.",
            replace
            if name not in ("cupy", right)
            else Fix(
                text="Upgrade it.",
                commands=(f'pip install --upgrade "{name}>=14"',),
                link="https://docs.cupy.dev/en/stable/install.html",
            ),
        )
    torch = machine.software.torch
    if name not in ("cupy", right) and torch is not None and torch.cuda is not None:
        return CHECK.warn(
            f"built for CUDA {_major_of(name)}, torch for {torch.cuda}",
            "Both run, each with a CUDA of its own: two sets of libraries in one process, of which "
            "one may load the other's.",
            replace,
        )
    return CHECK.ok(f"{name} {version}")


def _wanted_major(machine: Machine) -> int:
    """That of torch, where the card and the driver take it; else the latest that they take."""
    torch = machine.software.torch
    latest = cuda_major(machine)
    mine = major(torch.cuda) if torch is not None else None
    return mine if mine in (12, 13) and mine <= latest else latest


def _major_of(name: str) -> int | None:
    """12 of cupy-cuda12x; 11 of cupy-cuda112; None of one that was built from source."""
    digits = re.fullmatch(r"cupy-cuda(\d\d)\d?x?", name)
    return int(digits[1]) if digits else None


def _misfit(name: str, machine: Machine) -> str:
    """Why this distribution cannot work here; "" where it can."""
    if "rocm" in name:
        return f"{name} is for AMD GPUs."
    wanted = _major_of(name)
    driver = machine.software.cuda_driver
    old = next((gpu for gpu in machine.gpus if is_before_turing(gpu)), None)
    if wanted == 13 and old is not None:
        return (
            f"CUDA 13 builds nothing for cards before 7.5: {old.name} is "
            f"{old.compute_capability}. That its driver reports CUDA {driver} does not change that."
        )
    if wanted is not None and driver_is_before(machine, wanted):
        least = {12: "525.60.13", 13: "580"}.get(wanted)
        needs = f", and so driver {least} or later" if least else ""
        return (
            f"It needs CUDA {wanted}{needs}; driver {machine.software.driver} goes up to {driver}."
        )
    return ""


CHECK = Check(
    id="cupy",
    title="CuPy",
    why="the bundled CUDA kernels are built and launched through it",
    needs=("gpu",),
    asks=("facts",),
    run=check_cupy,
)
