"""Is there an NVIDIA GPU, and does its driver answer?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import lacks_tensor_cores
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

# NVML's words where no driver is installed: nothing is wrong with such a machine.
NO_DRIVER = ("NVML Shared Library Not Found", "Driver Not Loaded")


def check_gpu(machine: Machine) -> Finding:
    """Describe the GPUs; skip calmly where there are none; fail where the driver is broken."""
    if machine.gpus:
        return _describe(machine)
    torch = machine.software.torch
    if torch is not None and torch.hip is not None:
        return CHECK.warn(
            "torch is built for ROCm; only the CPU is used",
            "torch.cuda stands for AMD GPUs in this build. qprobe's GPU kernels are CUDA.",
            Fix(text="Plan for the CPU.", commands=("qprobe plan --model MODEL --device cpu",)),
        )
    words = machine.unanswered.get("gpus", "NVML lists none")
    if cards := machine.unanswered.get("gpus.pci"):
        return CHECK.fail(
            "an NVIDIA GPU without a driver",
            f"{cards}. NVML: {words.rstrip('.')}.",
            Fix(
                text="Install the driver; for cards before Turing, version 580 is the last.",
                link="https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/",
            ),
        )
    if "gpus" in machine.unanswered and words not in NO_DRIVER:
        return CHECK.fail(
            "the NVIDIA driver does not answer",
            f"NVML: {words.rstrip('.')}.",
            Fix(
                text="See what the driver says itself. After an update of the driver, restart.",
                commands=("nvidia-smi",),
            ),
        )
    return CHECK.skip("no NVIDIA GPU: the CPU is the device", f"NVML: {words.rstrip('.')}.")


def _describe(machine: Machine) -> Finding:
    first, *others = machine.gpus
    more = f" and {len(others)} more" if others else ""
    size = f", {first.memory_bytes / 2**30:.0f} GiB" if first.memory_bytes else ""
    detail = []
    for gpu in machine.gpus:
        free = f", {gpu.free_memory_bytes / 2**30:.1f} GiB free" if gpu.free_memory_bytes else ""
        users = f", {gpu.processes} processes on it" if gpu.processes else ""
        cores = ", no tensor cores despite 7.5" if lacks_tensor_cores(gpu) else ""
        known = gpu.compute_capability or "unknown"
        detail.append(f"{gpu.index}: {gpu.name}, compute capability {known}{free}{users}{cores}.")
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
    run=check_gpu,
)
