"""Can this torch use this GPU?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from qprobe.doctor._check import Check, version_of
from qprobe.doctor.checks._cuda import (
    capability,
    describe,
    driver_commands,
    driver_elsewhere,
    driver_is_before,
    major,
    old_driver_fix,
    torch_brings,
    torch_fix,
)
from qprobe.doctor.checks._faults import fill
from qprobe.doctor.rules.faults import find_faults
from qprobe.doctor.rules.torch import FAULTS
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine, TorchBuild

_LEAST_DRIVERS = {11: "450.80.02", 12: "525.60.13", 13: "580"}
"""Of Linux, by major version of CUDA: https://docs.nvidia.com/deploy/cuda-compatibility/."""


def check_gpu_torch(machine: Machine) -> Finding:
    """Compare the build of torch with the cards, then the driver, then what torch sees."""
    torch = machine.software.torch
    if torch is None or not machine.gpus:
        return CHECK.skip("no GPU, or no torch")
    if torch.hip is not None:
        return CHECK.fail(
            "a ROCm build of torch, with an NVIDIA GPU",
            f"torch {torch.version} runs on AMD GPUs only.",
            torch_fix(machine, "Install a CUDA build of torch."),
        )
    if torch.cuda is None:
        return CHECK.fail(
            "torch is built without CUDA",
            f"torch {torch.version} cannot use {machine.gpus[0].name}: everything runs on the CPU.",
            torch_fix(machine, "Install a CUDA build of torch."),
        )
    for gpu in machine.gpus:
        if find_code(torch, gpu) is None:
            return CHECK.fail(
                f"this torch has no code for {_sm(gpu)}",
                f"torch {torch.version} (CUDA {torch.cuda}) was built for "
                f"{', '.join(torch.arch_list)}; {describe(gpu, machine)} is {_sm(gpu)}. Its kernels "
                "end with `no kernel image is available for execution on the device`."
                f"{_history(machine)}",
                torch_fix(
                    machine, f"Install a torch that has code for {_sm(gpu)}.{_besides(machine)}"
                ),
            )
    return (
        _check_driver(machine, torch, torch.cuda)
        or _check_visible(machine)
        or _check_code(machine, torch, torch.cuda)
        or _check_order(machine)
        or CHECK.ok(f"{torch.version} sees {_count(machine)} of {len(machine.gpus)}")
    )


def _besides(machine: Machine) -> str:
    """What else that torch cures."""
    brought = torch_brings(machine)
    return f" It brings NVRTC {brought} along, which builds for such cards." if brought else ""


def _history(machine: Machine) -> str:
    """What became of builds for such cards, with its source."""
    hits = find_faults(machine, FAULTS)[:1]
    return "".join(f" {fill(hit, machine)} ({hit.fault.source})" for hit in hits)


def _check_driver(machine: Machine, torch: TorchBuild, cuda: str) -> Finding | None:
    """A build runs on a driver for the same major version of CUDA, or a later one."""
    wanted, driver = major(cuda), machine.software.cuda_driver
    if wanted is None or not driver_is_before(machine, wanted):
        return None
    least = (
        f"driver {_LEAST_DRIVERS[wanted]} or later" if wanted in _LEAST_DRIVERS else "its driver"
    )
    detail = (
        f"torch {torch.version} needs CUDA {cuda}, and so {least}; driver {machine.software.driver} "
        f"goes up to {driver}.{_history(machine)}"
    )
    summary = f"the driver is too old for CUDA {cuda}"
    if driver_is_before(machine, 12):
        return CHECK.fail(summary, detail, old_driver_fix(machine))
    newer, elsewhere = driver_commands(machine), driver_elsewhere(machine)
    way = f"another driver. {elsewhere}" if elsewhere else "driver 580 or later."
    fix = torch_fix(machine, f"Install a torch for the driver's CUDA, or {way}")
    labels = (*("" for _ in fix.commands), *("or" for _ in newer))
    both = {"commands": (*fix.commands, *newer), "labels": labels}
    return CHECK.fail(summary, detail, fix.model_copy(update=both) if newer else fix)


def _check_visible(machine: Machine) -> Finding | None:
    seen, total = _count(machine), len(machine.gpus)
    said = [
        words
        for field, words in machine.unanswered.items()
        if field.startswith("fingerprints.cuda:")
    ]
    # Of cards in slices, CUDA shows a process one slice.
    if seen >= total or (seen > 0 and any(gpu.mig for gpu in machine.gpus)):
        return None
    hidden = machine.software.environment.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and not said:  # what CUDA tries to start is not hidden
        if seen > 0:
            return None
        return CHECK.warn(
            "CUDA_VISIBLE_DEVICES hides every GPU",
            f"CUDA_VISIBLE_DEVICES is {hidden!r}.",
            Fix(text="Unset it to use the GPU.", commands=("unset CUDA_VISIBLE_DEVICES",)),
        )
    return CHECK.fail(
        f"torch sees {seen} of {total} GPUs",
        " ".join(said) or "NVML lists them; CUDA does not start on them.",
        Fix(
            text="See what CUDA says when torch starts.",
            commands=('python -c "import torch; torch.cuda.init()"',),
        ),
    )


def _check_code(machine: Machine, torch: TorchBuild, cuda: str) -> Finding | None:
    """A card that is newer than every machine code of the build lives on PTX, which the driver compiles."""
    gpu = next((gpu for gpu in machine.gpus if find_code(torch, gpu) == "ptx"), None)
    if gpu is None:
        return None
    detail = (
        f"torch {torch.version} has no machine code for {_sm(gpu)} ({describe(gpu, machine)}); the "
        "driver compiles its PTX when a kernel is first used, and kernels of older cards are used."
    )
    fix = torch_fix(machine, f"Install a torch that is built for {_sm(gpu)}.")
    driver = machine.software.cuda_driver
    if major(driver) is not None and _pair(driver) < _pair(cuda):
        return CHECK.fail(
            f"PTX of CUDA {cuda} needs a newer driver",
            f"{detail} This driver compiles PTX up to CUDA {driver}.",
            fix,
        )
    return CHECK.warn(f"{_sm(gpu)} runs code for older cards", detail, fix)


def _pair(version: str | None) -> tuple[int, ...]:
    """(13, 0) of "13"."""
    return (*version_of(version or ""), 0, 0)[:2]


def _check_order(machine: Machine) -> Finding | None:
    """NVML counts by the PCI bus, CUDA by speed unless told otherwise."""
    if machine.software.environment.get("CUDA_VISIBLE_DEVICES") is not None:
        return None
    for gpu in machine.gpus:
        mine = machine.fingerprints.get(f"cuda:{gpu.index}")
        if mine is not None and mine.name != gpu.name:
            return CHECK.warn(
                "torch counts the GPUs in another order",
                f"cuda:{gpu.index} is {mine.name}, GPU {gpu.index} of the driver is {gpu.name}: by one "
                "number nvidia-smi and torch mean different cards.",
                Fix(
                    text="Have CUDA count as the driver does.",
                    commands=("export CUDA_DEVICE_ORDER=PCI_BUS_ID",),
                ),
            )
    return None


def _count(machine: Machine) -> int:
    return sum(device.startswith("cuda:") for device in machine.fingerprints)


def find_code(torch: TorchBuild, gpu: Gpu) -> Literal["machine", "ptx", "unknown"] | None:
    """By what of torch's arch list the card runs; None: by nothing.

    Machine code (sm_80) runs on the same major version with an equal or higher minor one; PTX
    (compute_80) runs on every later card.
    """
    card = capability(gpu)
    if not card or not torch.arch_list:
        return "unknown"
    fits = {kind for arch in torch.arch_list if (kind := _fits(arch, card))}
    return "machine" if "machine" in fits else "ptx" if fits else None


def _fits(arch: str, card: Sequence[int]) -> Literal["machine", "ptx"] | None:
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", arch)
    if match is None:
        return None
    built = (int(match[2]), int(match[3]))
    if match[4] == "a":
        return "machine" if built == card else None
    if match[1] == "sm":
        return "machine" if built[0] == card[0] and built <= tuple(card) else None
    return "ptx" if built <= tuple(card) else None


def _sm(gpu: Gpu) -> str:
    return f"sm_{(gpu.compute_capability or '').replace('.', '')}"


CHECK = Check(
    id="gpu-torch",
    title="PyTorch on the GPU",
    why="a torch built for other cards, or without CUDA, fails at the first kernel",
    needs=("gpu", "torch"),
    asks=("facts",),
    run=check_gpu_torch,
)
