"""The NVIDIA GPUs that torch can use: whether there are any, and which capability each has.

Everything here is asked of torch alone, and tests plant other answers here.
"""

from __future__ import annotations

import functools

import torch

from qprobe.kernels.device import cuda_count, cuda_fault

Capability = tuple[int, int]


@functools.cache
def no_gpu() -> str:
    """Why torch cannot compute on an NVIDIA GPU here; "" if it can."""
    if torch.version.hip:
        return f"torch {torch.__version__} is built for AMD's ROCm; these kernels are for NVIDIA's GPUs"
    if not torch.version.cuda:
        return f"torch {torch.__version__} is built without CUDA"
    if words := cuda_fault():
        return f"torch {torch.__version__} cannot use the GPUs: {words}"
    if not cuda_count():
        return f"torch {torch.__version__} finds no NVIDIA GPU: there is none, or no driver for it"
    return ""


@functools.cache
def capability_of(device: str) -> Capability:
    """The compute capability of "cuda" or "cuda:N", such as (8, 6); asks torch."""
    return torch.cuda.get_device_capability(device)


def all_capabilities() -> tuple[Capability, ...]:
    """Those of every GPU that torch can use, in torch's order; empty where there is none."""
    if no_gpu():
        return ()
    return tuple(capability_of(f"cuda:{index}") for index in range(cuda_count()))


def spell(capability: Capability) -> str:
    """(8, 6) → "8.6"."""
    return f"{capability[0]}.{capability[1]}"
