"""Is there an NVIDIA GPU, and does its driver answer?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import (
    NO_DRIVER,
    driver_fix,
    is_kept_out,
    lacks_tensor_cores,
    tell_slices,
)
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import NONE_LISTED, Machine

NO_PACKAGE = "No module named"
"""Python's words where the package is missing by which NVML is asked."""
# NVML's words for a card that is gone.
LOST = ("GPU is lost", "GPU requires restart")


def check_gpu(machine: Machine) -> Finding:
    """Describe the GPUs; skip calmly where there are none; fail where the driver is broken."""
    if lost := _lost(machine):
        return CHECK.fail(
            f"GPU {', '.join(lost)} does not answer any more",
            f"NVML: {_lost_words(machine)}. It has fallen off the bus: what is told of it is what was "
            "read before, and nothing runs on it until it is back.",
            Fix(
                text="Look for the driver's message (Xid) in the kernel's log, then restart the machine; "
                "if it happens again, look at the power supply, the cooling and the slot.",
                commands=("nvidia-smi",),
                link="https://docs.nvidia.com/deploy/xid-errors/",
            ),
        )
    if machine.gpus:
        return _describe(machine)
    if machine.gpus_are_left_out:
        return CHECK.skip(
            "not asked about: the device is the CPU",
            "What is told of GPUs, and of CUDA, is left out by --device cpu.",
        )
    if is_kept_out(machine):
        return CHECK.skip("none is visible to this process: see Container")
    torch = machine.software.torch
    if torch is not None and torch.hip is not None:
        return CHECK.warn(
            "torch is built for ROCm; only the CPU is used",
            "torch.cuda stands for AMD GPUs in this build. qprobe's GPU kernels are CUDA.",
            Fix(
                text="Measure and plan for the CPU (--device cpu).",
                commands=("qprobe bench --device cpu",),
            ),
        )
    words = machine.unanswered.get("gpus", NONE_LISTED)
    if words.startswith(NO_PACKAGE):
        return CHECK.warn(
            "nvidia-ml-py is missing: no GPU is asked about",
            f"import pynvml: {words.rstrip('.')}. Whether there is an NVIDIA GPU, and what its driver says, "
            "stays unknown.",
            Fix(text="Install the package.", commands=("pip install nvidia-ml-py",)),
        )
    if cards := machine.unanswered.get("gpus.pci"):
        return CHECK.fail(
            "an NVIDIA GPU without a driver",
            f"{cards}. NVML: {words.rstrip('.')}.",
            driver_fix(
                machine, "Install the driver; Blackwell needs the package that ends in -open."
            ),
        )
    if words not in (*NO_DRIVER, NONE_LISTED):
        return CHECK.fail(
            "the NVIDIA driver does not answer",
            f"NVML: {words.rstrip('.')}.",
            Fix(
                text="See what the driver says itself. After an update of the driver, restart the "
                "machine; in a container that had the GPU before, restart the container.",
                commands=("nvidia-smi",),
            ),
        )
    return CHECK.skip("no NVIDIA GPU: the CPU is the device", f"NVML: {words.rstrip('.')}.")


def _lost(machine: Machine) -> tuple[str, ...]:
    """The indices of cards that stopped answering while they were asked."""
    found = {
        field.split(".")[1]
        for field, words in machine.unanswered.items()
        if field.startswith("gpus.") and words in LOST
    }
    return tuple(sorted(found))


def _lost_words(machine: Machine) -> str:
    """What NVML said of them."""
    return ", ".join(sorted({words for words in machine.unanswered.values() if words in LOST}))


def _describe(machine: Machine) -> Finding:
    hidden = machine.hidden
    first, *others = (gpu for gpu in machine.gpus if gpu not in hidden)
    more = f" and {len(others)} more" if others else ""
    size = f", {first.memory_bytes / 2**30:.0f} GiB" if first.memory_bytes else ""
    size += ", in slices" if first.mig else ""
    detail = []
    for gpu in machine.gpus:
        free = f", {gpu.free_memory_bytes / 2**30:.1f} GiB free" if gpu.free_memory_bytes else ""
        if gpu.mig:
            free = f", divided: a process gets {tell_slices(gpu)}"
        cores = ", no tensor cores despite 7.5" if lacks_tensor_cores(gpu) else ""
        known = gpu.compute_capability or "unknown"
        detail.append(f"{gpu.index}: {gpu.name}, compute capability {known}{free}{cores}.")
    if hidden:
        numbers = ", ".join(str(gpu.index) for gpu in hidden)
        detail.append(f"CUDA_VISIBLE_DEVICES hides {numbers} from this process.")
    if machine.software.driver:
        detail.append(
            f"Driver {machine.software.driver}, CUDA up to {machine.software.cuda_driver}."
        )
    return CHECK.ok(f"{first.name}{size}{more}", " ".join(detail))


CHECK = Check(
    id="gpu",
    title="GPU",
    why="most schemes gain most on a GPU, where its driver works",
    needs=(),
    asks=("facts",),
    tells_hidden=True,
    run=check_gpu,
)
