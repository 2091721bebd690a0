"""The operators of torch that exist or take these arguments on CUDA only.

They are called from here alone: a machine without a GPU puts others in their place to test what is
around them.
"""

from __future__ import annotations

import torch
from torch import Tensor


def int_mm(x: Tensor, weight: Tensor) -> Tensor:
    """Codes x (M, K) times weight (N, K), int8, both with K innermost → (M, N) int32."""
    return torch._int_mm(x, weight.t())


def scaled_mm(
    x: Tensor, weight: Tensor, x_scale: Tensor, scale: Tensor, dtype: torch.dtype
) -> Tensor:
    """Codes x (M, K) times weight (N, K), float8 → (M, N) in `dtype`.

    Scales are float32: two of one element, or (M, 1) and (1, N).
    """
    return torch._scaled_mm(x, weight.t(), x_scale, scale, out_dtype=dtype)


def convert_int4(codes: Tensor, inner_tiles: int) -> Tensor:
    """Two codes of 0 … 15 to a byte (N, K/2), the first in the high half → torch's own layout."""
    return torch._convert_weight_to_int4pack(codes, inner_tiles)


def int4_mm(x: Tensor, codes: Tensor, group: int, scales: Tensor) -> Tensor:
    """X (M, K) bfloat16 times codes in torch's layout, with scale and offset (K/G, N, 2) → (M, N)."""
    return torch._weight_int4pack_mm(x, codes, group, scales)
