"""Is there memory left on the GPU, and does it take this process in?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe, tell_slices
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Gpu, Machine

_GIB = 2**30
_LEAST_BYTES = 2 * _GIB  # CUDA itself, torch's libraries and a model of some 500 million parameters
_SEE = ("nvidia-smi",)


def check_gpu_memory(machine: Machine) -> Finding:
    """Look at the compute mode, the free memory and the other processes."""
    if not machine.gpus:
        return CHECK.skip("no NVIDIA GPU")
    for gpu in machine.gpus:
        if finding := _judge(gpu, describe(gpu, machine)):
            return finding
    divided = [gpu for gpu in machine.gpus if gpu.mig]
    if divided and len(divided) == len(machine.gpus):
        return CHECK.skip(
            f"a process gets {tell_slices(divided[0])}",
            f"Of the whole card, {_free(divided[0])}; that says nothing of what is free on a slice.",
        )
    known = [
        f"GPU {gpu.index}: {tell_slices(gpu)}" if gpu.mig else _free(gpu)
        for gpu in machine.gpus
        if gpu.free_memory_bytes is not None and gpu.memory_bytes
    ]
    if known:
        return CHECK.ok("; ".join(known[:2]) + ("; …" if len(known) > 2 else ""))
    return CHECK.skip("the driver does not tell", _why(machine))


def _judge(gpu: Gpu, card: str) -> Finding | None:
    if gpu.compute_mode == "prohibited":
        return CHECK.fail(
            "the card is closed to computing",
            f"{card} is in compute mode `prohibited`: CUDA ends with `all CUDA-capable devices are busy "
            "or unavailable`.",
            Fix(text="Open it.", commands=(f"nvidia-smi -i {gpu.index} -c DEFAULT",)),
        )
    if gpu.compute_mode == "exclusive" and gpu.processes:
        return CHECK.fail(
            "another process has the card to itself",
            f"{card} is in compute mode `exclusive`, and {gpu.processes} on it already.",
            Fix(
                text="Wait for the other, or let several in.",
                commands=(*_SEE, f"nvidia-smi -i {gpu.index} -c DEFAULT"),
            ),
        )
    if gpu.mig:  # what is free, and who computes, on the card is not so on the slice
        return None
    free, processes = gpu.free_memory_bytes, gpu.processes
    if free is not None and free < _LEAST_BYTES:
        users = f" {processes} processes compute on it." if processes else ""
        return CHECK.warn(
            f"{free / _GIB:.1f} GiB free",
            f"{card}: CUDA and torch take some 0.5 GiB of it before the first weight.{users}",
            Fix(text="End what else uses the card, or choose another.", commands=_SEE),
        )
    if processes:
        noun = "process computes" if processes == 1 else "processes compute"
        return CHECK.warn(
            f"{processes} other {noun} on it",
            f"{card} is shared: what is measured now is slower than the card alone, and varies.",
            Fix(text="Measure while nothing else runs on the card.", commands=_SEE),
        )
    return None


def _free(gpu: Gpu) -> str:
    """What the driver tells of the card."""
    if gpu.free_memory_bytes is None or not gpu.memory_bytes:
        return "what is free is not told"
    return f"{gpu.free_memory_bytes / _GIB:.1f} of {gpu.memory_bytes / _GIB:.1f} GiB free"


def _why(machine: Machine) -> str:
    return machine.unanswered.get("gpus.0.free_memory_bytes", "")


CHECK = Check(
    id="gpu-memory",
    title="GPU memory",
    why="others on the card take memory, and time from every measurement",
    needs=("gpu",),
    asks=("facts",),
    run=check_gpu_memory,
)
