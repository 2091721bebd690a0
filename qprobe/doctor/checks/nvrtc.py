"""Is there an NVRTC that builds kernels for these cards, and that the driver can follow?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import (
    cuda_major,
    describe,
    driver_fix,
    driver_is_before,
    is_before_turing,
    major,
    torch_brings,
    torch_command,
)
from qprobe.doctor.checks.gpu_torch import find_code
from qprobe.doctor.rules.nvrtc import architectures_of, find_versions
from qprobe.documents import arch
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine

_UNIVERSAL = "pip install nvidia-cuda-nvrtc-cu12==12.9.86"
_WHEELS = (("12.9", _UNIVERSAL), ("13.5", "pip install nvidia-cuda-nvrtc"))
"""Version → how it is installed, the one for most cards first."""
_LINK = "https://docs.nvidia.com/cuda/archive/12.9.0/cuda-toolkit-release-notes/index.html"


def check_nvrtc(machine: Machine) -> Finding:
    """Look at what each compiler builds for; one of them is enough, since it is chosen by the card."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    compilers = _compilers(machine)
    if not compilers:
        return CHECK.warn(
            "not installed: no CUDA kernel can be built",
            "qprobe's CUDA kernels, and CuPy's, are built on this machine by NVRTC.",
            _install(machine),
        )
    versions = ", ".join(compilers)
    for gpu in machine.gpus:
        if gpu.compute_capability is None:
            continue
        fitting = [version for version, built in compilers.items() if _builds(built, gpu)]
        if not fitting:
            return CHECK.fail(
                f"{versions} builds nothing for {gpu.compute_capability}",
                f"{describe(gpu, machine)} has compute capability {gpu.compute_capability}. NVRTC 12.9 "
                "is the last that builds for cards before 7.5, and the first for 10.3 and 12.1; 12.8 "
                "is the first for 10.0 and 12.0, 13.0 for 11.0.",
                _with_torch(machine) or _install_for(gpu, machine),
            )
        driver = machine.software.cuda_driver
        if all(driver_is_before(machine, major(version) or 0) for version in fitting):
            return CHECK.fail(
                f"the driver loads no code of {', '.join(fitting)}",
                f"Driver {machine.software.driver} takes CUDA up to {driver}; code that a later major "
                "version builds does not load.",
                driver_fix(machine, "Install a newer driver.")
                if driver_is_before(machine, 12)
                else _with_torch(machine)
                or Fix(text="Install NVRTC 12.9, or a newer driver.", commands=(_UNIVERSAL,)),
            )
    return CHECK.ok(f"NVRTC {versions}")


def _with_torch(machine: Machine) -> Fix | None:
    """Where torch is to be replaced for the same reason, its CUDA brings a compiler that fits."""
    torch, brought = machine.software.torch, torch_brings(machine)
    if torch is None or torch.cuda is None or not brought:
        return None
    is_replaced = any(find_code(torch, gpu) is None for gpu in machine.gpus) or driver_is_before(
        machine, major(torch.cuda) or 0
    )
    built = architectures_of(brought)
    known = [gpu for gpu in machine.gpus if gpu.compute_capability is not None]
    if not is_replaced or not all(_builds(built, gpu) for gpu in known):
        return None
    text = (
        f"As for PyTorch on the GPU: the torch that suits this machine brings NVRTC {brought}, and "
        "nothing else is to be installed for this."
    )
    return Fix(text=text, commands=(torch_command(machine),))


def _compilers(machine: Machine) -> dict[str, tuple[str, ...]]:
    """Version → what it builds for: as it said itself, else by the version of pip's package."""
    said = machine.software.nvrtc
    if said is not None:
        return {compiler.version: compiler.architectures for compiler in said}
    return {
        version: architectures_of(version) for version in find_versions(machine.software.packages)
    }


def _builds(built: tuple[str, ...], gpu: Gpu) -> bool:
    return any(arch.runs_on(target, gpu.compute_capability or "") for target in built)


def _install(machine: Machine) -> Fix:
    """Where there is none: one that all cards and the driver take, as far as there is."""
    for gpu in machine.gpus:
        if gpu.compute_capability is not None and _find_wheel(gpu) is None:
            return _install_for(gpu, machine)
    old = any(is_before_turing(gpu) for gpu in machine.gpus)
    command = _UNIVERSAL if old or cuda_major(machine) == 12 else "pip install nvidia-cuda-nvrtc"
    return Fix(text=f"Install it for CUDA {cuda_major(machine)}.", commands=(command,))


def _install_for(gpu: Gpu, machine: Machine) -> Fix:
    """One that builds for this card, after a driver that takes its code."""
    wheel = _find_wheel(gpu)
    if wheel is None:
        return Fix(
            text=f"No NVRTC from CUDA 12 on builds for {gpu.compute_capability}: qprobe's CUDA kernels and CuPy do "
            "not run on such a card. Use torch's own operators, or another card.",
            link=_LINK,
        )
    version, command = wheel
    if driver_is_before(machine, major(version) or 0):
        newer = driver_fix(machine, "Install a newer driver.")
        text = f"{newer.text} Then install NVRTC {version} beside what is there."
        return newer.model_copy(update={"text": text, "commands": (*newer.commands, command)})
    return Fix(text=f"Install {version} beside it.", commands=(command,), link=_LINK)


def _find_wheel(gpu: Gpu) -> tuple[str, str] | None:
    return next((wheel for wheel in _WHEELS if _builds(architectures_of(wheel[0]), gpu)), None)


CHECK = Check(
    id="nvrtc",
    title="CUDA compiler",
    why="NVRTC 13 builds nothing for cards before 7.5, and fails at the first kernel",
    needs=("gpu",),
    asks=("facts", "compilers"),
    run=check_nvrtc,
)
