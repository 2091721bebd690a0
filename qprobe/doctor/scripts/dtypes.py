"""In which types of activations a device is fast."""

from __future__ import annotations

import torch

from qprobe.doctor.native import PROCESSORS
from qprobe.documents.base import FloatDtype
from qprobe.kernels.device import cpu_features

_SLOW_IN_HALVES = ((6, 1), (6, 2))
"""Pascal without the chip of the P100: float16 at 1/64 of the rate of float32."""
_FIRST_WITH_BFLOAT16 = (8, 0)


def best_types(device: str) -> tuple[FloatDtype, ...]:
    """The types of activations, the one that the device is fastest in first. Asks the device."""
    if device == "cpu":
        has_bfloat16 = bool(set(PROCESSORS["bf16"].flags) & set(cpu_features()))
        return rank_types(None, has_bfloat16)
    return rank_types(torch.cuda.get_device_capability(device), False)


def rank_types(
    capability: tuple[int, int] | None, cpu_has_bfloat16: bool
) -> tuple[FloatDtype, ...]:
    """The same by the compute capability of a card, or, without one, by what the processor has.

    torch computes in all of them everywhere; where it emulates, a figure says little of the method.
    """
    if capability is None:
        best: FloatDtype = "bfloat16" if cpu_has_bfloat16 else "float32"
        return (best, *(name for name in ("float32", "bfloat16", "float16") if name != best))
    if capability >= _FIRST_WITH_BFLOAT16:
        return ("bfloat16", "float16", "float32")
    if capability in _SLOW_IN_HALVES:
        return ("float32", "float16", "bfloat16")
    return ("float16", "float32", "bfloat16")
