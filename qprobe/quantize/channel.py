"""Symmetric 8-bit integer weights with one scale for each output channel."""

from __future__ import annotations

import torch
from torch import Tensor

from qprobe.documents.scheme import ALGORITHMS
from qprobe.errors import InputError


def quantize_channel(weight: Tensor, algorithm: str) -> dict[str, Tensor]:
    """Round each row to the nearest multiple of its scale.

    Args:
        weight: (N, K), floating point, finite.
        algorithm: a name in `ALGORITHMS` that yields codes.

    Returns:
        The canonical tensors under compressed-tensors' names (format `int-quantized`):
        `weight` (N, K) int8 in ±max code, `weight_scale` (N, 1) float32.

    Raises:
        InputError: a value is NaN or infinite.
    """
    max_code = ALGORITHMS[algorithm]
    real = weight.detach().to(torch.float32)
    peak = real.abs().amax(dim=1, keepdim=True)
    if not bool(peak.isfinite().all()):
        rows = (~peak.isfinite()).sum().item()
        raise InputError(
            f"cannot quantize a weight with NaN or infinite values ({rows} of {len(peak)} rows)",
            "repair the checkpoint, or pin the layer to NONE",
        )
    # A row of zeros, or of numbers so small that their scale vanishes, is stored as zeros.
    scale = (peak / max_code).where(peak / max_code > 0, torch.ones_like(peak))
    codes = (real / scale).round_().clamp_(-max_code, max_code).to(torch.int8)
    return {"weight": codes, "weight_scale": scale}


def dequantize_channel(tensors: dict[str, Tensor], dtype: torch.dtype) -> Tensor:
    """The weight (N, K) in `dtype` that the canonical tensors stand for."""
    codes, scale = tensors["weight"], tensors["weight_scale"]
    return (codes.to(torch.float32) * scale.to(torch.float32)).to(dtype)
