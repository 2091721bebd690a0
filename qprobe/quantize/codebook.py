"""4-bit NormalFloat: indices into 16 quantiles of the normal distribution, in blocks of 64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import Scheme
from qprobe.quantize._shrink import encode_blocks, positive

NAMES = ("weight_packed", "weight_scale")
NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""The table of bitsandbytes; its derivation is in appendix E of QLoRA (Dettmers et al., 2023)."""


def quantize(weight: Tensor, scheme: Scheme, algorithm: str) -> dict[str, Tensor]:
    """The canonical tensors of a weight (N, K) with K a multiple of the block B.

    `weight_packed` (N, K/2) uint8, two indices a byte, the first in the high half, as bitsandbytes
    has them; `weight_scale` (N, K/B) float32, the magnitude that stands for 1.
    """
    n, k = weight.shape
    indices, scale = encode_blocks(weight.reshape(-1, scheme.block), _encode, algorithm)
    packed = pack_indices(indices.reshape(n, k))
    return {"weight_packed": packed, "weight_scale": scale.reshape(n, -1)}


def dequantize(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """The weight (N, K) in `dtype` that the canonical tensors stand for."""
    packed, scale = tensors
    n, blocks = scale.shape
    values = _table(packed.device).index_select(0, unpack_indices(packed).reshape(-1))
    return values.reshape(n, blocks, -1).mul_(scale.unsqueeze(-1)).reshape(n, -1).to(dtype)


def pack_indices(indices: Tensor) -> Tensor:
    """Indices (R, C) in 0 … 15, C even → bytes (R, C/2) uint8, the first in the high half."""
    halves = indices.to(torch.uint8).reshape(len(indices), -1, 2)
    return (halves[..., 0] << 4) | halves[..., 1]


def unpack_indices(packed: Tensor) -> Tensor:
    """Bytes (R, B) uint8 → indices (R, 2·B) int32."""
    halves = torch.stack([packed >> 4, packed & 0xF], dim=-1)
    return halves.to(torch.int32).reshape(len(packed), -1)


def _encode(real: Tensor, factor: float) -> tuple[Tensor, tuple[Tensor, ...]]:
    scale = positive(real.abs().amax(dim=1, keepdim=True) * factor)
    table = _table(real.device)
    indices = torch.bucketize(real / scale, (table[1:] + table[:-1]) / 2, out_int32=True)
    value = table.index_select(0, indices.reshape(-1)).reshape(real.shape) * scale
    return value, (indices.to(torch.uint8), scale)


def _table(device: torch.device) -> Tensor:
    return torch.tensor(NF4, dtype=torch.float32, device=device)
