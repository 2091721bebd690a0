"""Round-to-nearest codes, as every library is given them that takes codes."""

from __future__ import annotations

import torch
from torch import Tensor


def group_codes(weight: Tensor, bits: int, group: int) -> tuple[Tensor, Tensor]:
    """Symmetric codes of a weight (N, K) and their scales.

    Returns codes (N, K) int8 from −2^(bits−1) to 2^(bits−1) − 1, scales (N, K / group) float32.
    """
    rows, columns = weight.shape
    if columns % group:
        raise ValueError(f"K = {columns} is not a multiple of the group of {group}")
    top = 2 ** (bits - 1) - 1
    blocks = weight.detach().float().reshape(rows, columns // group, group)
    scale = (blocks.abs().amax(-1, keepdim=True) / top).clamp_min(torch.finfo(torch.float32).tiny)
    codes = (blocks / scale).round().clamp(-top - 1, top).to(torch.int8)
    return codes.reshape(rows, columns), scale.squeeze(-1)


def channel_codes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """8-bit codes (N, K) with one scale for each row, (N, 1)."""
    return group_codes(weight, 8, weight.shape[1])


def dequantize(codes: Tensor, scale: Tensor) -> Tensor:
    """The weight (N, K) float32 of codes (N, K) and scales (N, groups)."""
    rows, groups = scale.shape
    return (codes.reshape(rows, groups, -1).float() * scale.unsqueeze(-1)).reshape(codes.shape)


def token_codes(x: Tensor) -> tuple[Tensor, Tensor]:
    """8-bit codes of x (M, K) and a scale for each row, (M, 1) float32."""
    scale = x.abs().amax(-1, keepdim=True).float().div_(127).clamp_min_(1e-30)
    return (x / scale).round_().to(torch.int8), scale
