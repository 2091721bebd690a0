"""Is there exactly one CuPy, for the right CUDA?"""

from __future__ import annotations

import re

from qprobe.doctor._check import Check, version_of
from qprobe.doctor.checks._cuda import cuda_major
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

OLDEST = (14,)


def check_cupy(machine: Machine) -> Finding:
    """Look at the installed distributions, and at which CUDA the card and the driver can take."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    found = {
        name: version
        for name, version in machine.software.packages.items()
        if re.fullmatch(r"cupy(-cuda\d+x)?", name)
    }
    right = f"cupy-cuda{cuda_major(machine)}x"
    install = f'pip install "qprobe[cuda{cuda_major(machine)}]"'
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
    if name not in ("cupy", right):
        return CHECK.fail(
            f"{name} does not suit this machine",
            f"The card and the driver (CUDA up to {machine.software.cuda_driver or 'unknown'}) want "
            f"{right}: CUDA 13 builds nothing for cards before 7.5 and needs driver 580."
            if name == "cupy-cuda13x"
            else f"This machine's card and driver want {right}.",
            Fix(text=f"Replace it by {right}.", commands=(f"pip uninstall -y {name}", install)),
        )
    if version_of(version) < OLDEST:
        return CHECK.warn(
            f"{version} is older than 14",
            "Older versions do not find the NVRTC compiler that pip installs.",
            Fix(text="Upgrade it.", commands=(f'pip install --upgrade "{name}>=14"',)),
        )
    return CHECK.ok(f"{name} {version}")


CHECK = Check(
    id="cupy",
    title="CuPy",
    why="the bundled CUDA kernels are built and launched through it",
    needs=("gpu",),
    run=check_cupy,
)
