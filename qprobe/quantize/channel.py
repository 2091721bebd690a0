"""8-bit weights, integer or floating point, with one scale for each output channel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import FULL_RANGE, REDUCED_RANGE, Scheme
from qprobe.quantize._shrink import Encode, encode_blocks, positive

NAMES = ("weight", "weight_scale")
CODES = {"rtn": FULL_RANGE, "mse": FULL_RANGE, "rtn_reduce_range": REDUCED_RANGE}
LARGEST_FLOAT8 = torch.finfo(torch.float8_e4m3fn).max


def quantize(weight: Tensor, scheme: Scheme, algorithm: str) -> dict[str, Tensor]:
    """`weight` (N, K) int8 or float8_e4m3fn and `weight_scale` (N, 1) float32."""
    is_float = scheme.weights is not None and scheme.weights.type == "float"
    encode = _encode_float8 if is_float else _integer_encoder(CODES[algorithm])
    return dict(zip(NAMES, encode_blocks(weight, encode, algorithm), strict=True))


def dequantize(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """The weight (N, K) in `dtype` that codes and scales stand for."""
    codes, scale = tensors
    return codes.to(torch.float32).mul_(scale).to(dtype)


def _integer_encoder(max_code: int) -> Encode:
    def encode(real: Tensor, factor: float) -> tuple[Tensor, tuple[Tensor, ...]]:
        scale = positive(real.abs().amax(dim=1, keepdim=True) / max_code * factor)
        codes = (real / scale).round_().clamp_(-max_code, max_code)
        return codes * scale, (codes.to(torch.int8), scale)

    return encode


def _encode_float8(real: Tensor, factor: float) -> tuple[Tensor, tuple[Tensor, ...]]:
    scale = positive(real.abs().amax(dim=1, keepdim=True) / LARGEST_FLOAT8 * factor)
    codes = (real / scale).clamp_(-LARGEST_FLOAT8, LARGEST_FLOAT8).to(torch.float8_e4m3fn)
    return codes.to(torch.float32) * scale, (codes, scale)
