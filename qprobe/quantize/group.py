"""4-bit integer weights in groups along K, eight codes to a 32-bit word (format `pack-quantized`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import GroupWeights, Scheme
from qprobe.quantize._shrink import Encode, encode_blocks, positive

NAMES = ("weight_packed", "weight_scale", "weight_shape")
ASYMMETRIC_NAMES = (*NAMES, "weight_zero_point")
LOW, HIGH = -8, 7
STEPS = HIGH - LOW
CODES_PER_WORD = 8
SCALE_DTYPE = torch.bfloat16
"""What 16-bit kernels use as it is: rounding happens once, here, and codes are chosen for it."""


def quantize(weight: Tensor, scheme: Scheme, algorithm: str) -> dict[str, Tensor]:
    """The canonical tensors of a weight (N, K) with K a multiple of the group's size G.

    `weight_packed` (N, K/8) int32, `weight_scale` (N, K/G) bfloat16, `weight_shape` (2,) int64 and,
    for asymmetric schemes, `weight_zero_point` (⌈N/8⌉, K/G) int32, packed along N.
    """
    if not isinstance(scheme.weights, GroupWeights):
        raise TypeError(f"{scheme.name} has no groups")
    n, k = weight.shape
    encode: Encode = _encode_symmetric if scheme.weights.symmetric else _encode_asymmetric
    blocks = weight.reshape(-1, scheme.block)
    codes, scale, *zero_point = encode_blocks(blocks, encode, algorithm)
    tensors = {
        "weight_packed": pack_codes(codes.reshape(n, k)),
        "weight_scale": scale.reshape(n, -1),
        "weight_shape": torch.tensor([n, k], device=weight.device),
    }
    if zero_point:
        points = zero_point[0].reshape(n, -1)
        tensors["weight_zero_point"] = pack_codes(points.t()).t().contiguous()
    return tensors


def dequantize(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """The weight (N, K) in `dtype` that the canonical tensors stand for."""
    packed, scale, _, *zero_point = tensors
    n, groups = scale.shape
    codes = unpack_codes(packed).to(torch.float32).reshape(n, groups, -1)
    if zero_point:
        codes.sub_(unpack_codes(zero_point[0].t())[:, :n].t().unsqueeze(-1))
    return codes.mul_(scale.unsqueeze(-1)).reshape(n, -1).to(dtype)


def pack_codes(codes: Tensor) -> Tensor:
    """Codes (R, C) in −8 … 7 → words (R, ⌈C/8⌉) int32: code + 8, the first in the lowest bits."""
    rows, columns = codes.shape
    words = -(-columns // CODES_PER_WORD)
    unsigned = torch.zeros(rows, words * CODES_PER_WORD, dtype=torch.int32, device=codes.device)
    unsigned[:, :columns] = codes.to(torch.int32) - LOW
    shifted = unsigned.reshape(rows, words, CODES_PER_WORD) << _shifts(codes.device)
    # The sum of disjoint bits is their union; the highest code may set the sign bit.
    return shifted.sum(dim=-1, dtype=torch.int32)


def unpack_codes(packed: Tensor) -> Tensor:
    """Words (R, W) → codes (R, 8·W) int8 in −8 … 7."""
    codes = packed.unsqueeze(-1) >> _shifts(packed.device)
    return codes.bitwise_and_(0xF).add_(LOW).to(torch.int8).reshape(packed.shape[0], -1)


def _shifts(device: torch.device) -> Tensor:
    return torch.arange(0, 4 * CODES_PER_WORD, 4, dtype=torch.int32, device=device)


def _encode_symmetric(real: Tensor, factor: float) -> tuple[Tensor, tuple[Tensor, ...]]:
    peak = real.abs().amax(dim=1, keepdim=True)
    scale = positive((peak * (2 * factor / STEPS)).to(SCALE_DTYPE))
    codes = (real / scale.float()).round_().clamp_(LOW, HIGH)
    return codes * scale.float(), (codes.to(torch.int8), scale)


def _encode_asymmetric(real: Tensor, factor: float) -> tuple[Tensor, tuple[Tensor, ...]]:
    low = real.amin(dim=1, keepdim=True).clamp_max_(0)
    high = real.amax(dim=1, keepdim=True).clamp_min_(0)
    scale = positive(((high - low) * (factor / STEPS)).to(SCALE_DTYPE))
    point = (LOW - low * factor / scale.float()).round_().clamp_(LOW, HIGH)
    codes = (real / scale.float() + point).round_().clamp_(LOW, HIGH)
    value = (codes - point) * scale.float()
    return value, (codes.to(torch.int8), scale, point.to(torch.int8))
