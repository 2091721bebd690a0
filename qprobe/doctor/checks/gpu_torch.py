"""Can this torch use this GPU?"""

from __future__ import annotations

import re

from qprobe.doctor._check import Check, version_of
from qprobe.doctor.checks._cuda import capability, torch_fix
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine, TorchBuild


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
        if not has_code_for(torch, gpu):
            return CHECK.fail(
                f"this torch has no code for {_sm(gpu)}",
                f"torch {torch.version} (CUDA {torch.cuda}) was built for "
                f"{', '.join(torch.arch_list)}; {gpu.name} is {_sm(gpu)}. Its kernels end with "
                "`no kernel image is available for execution on the device`.",
                torch_fix(machine, f"Install a torch that has code for {_sm(gpu)}."),
            )
    return _check_driver(machine, torch, torch.cuda)


def _check_driver(machine: Machine, torch: TorchBuild, cuda: str) -> Finding:
    driver = machine.software.cuda_driver
    if driver is not None and version_of(driver)[:1] < version_of(cuda)[:1]:
        return CHECK.fail(
            f"the driver is too old for CUDA {cuda}",
            f"torch {torch.version} needs CUDA {cuda}; driver {machine.software.driver} goes up to "
            f"{driver}.",
            torch_fix(machine, "Install a torch for the driver's CUDA, or a newer driver."),
        )
    seen = sum(device.startswith("cuda:") for device in machine.fingerprints)
    total = len(machine.gpus)
    if seen < total:
        hidden = machine.software.environment.get("CUDA_VISIBLE_DEVICES")
        if hidden is None:
            return CHECK.fail(
                f"torch sees {seen} of {total} GPUs",
                " ".join(
                    words
                    for field, words in machine.unanswered.items()
                    if field.startswith("fingerprints.cuda:")
                ),
                Fix(
                    text="See what CUDA says when torch starts.",
                    commands=('python -c "import torch; torch.cuda.init()"',),
                ),
            )
        if seen == 0:
            return CHECK.warn(
                "CUDA_VISIBLE_DEVICES hides every GPU",
                f"CUDA_VISIBLE_DEVICES is {hidden!r}.",
                Fix(text="Unset it to use the GPU.", commands=("unset CUDA_VISIBLE_DEVICES",)),
            )
    return CHECK.ok(f"{torch.version} sees {seen} of {total}")


def has_code_for(torch: TorchBuild, gpu: Gpu) -> bool:
    """Whether torch's arch list runs on the card; True where either is unknown.

    Machine code (sm_80) runs on the same major version with an equal or higher minor one; PTX
    (compute_80) runs on every later card.
    """
    card = capability(gpu)
    if not card or not torch.arch_list:
        return True
    for arch in torch.arch_list:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", arch)
        if match is None:
            continue
        built = (int(match[2]), int(match[3]))
        if match[4] == "a":
            fits = built == card
        elif match[1] == "sm":
            fits = built[0] == card[0] and built <= card
        else:
            fits = built <= card
        if fits:
            return True
    return False


def _sm(gpu: Gpu) -> str:
    return f"sm_{(gpu.compute_capability or '').replace('.', '')}"


CHECK = Check(
    id="gpu-torch",
    title="PyTorch on the GPU",
    why="a torch built for other cards, or without CUDA, fails at the first kernel",
    needs=("gpu", "torch"),
    run=check_gpu_torch,
)
