"""What the int8 products of torch leave to do: they know one scale for all rows of x, or none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def finish_rows(
    y: Tensor, x_scale: Tensor, bias: Tensor | None, before: Sequence[int], out_dtype: torch.dtype
) -> Tensor:
    """The rows of y (M, N) float32, which is overwritten, times their scales, and bias: (…, N)."""
    x_scale = x_scale.reshape(-1, 1)
    y = y.mul_(x_scale) if bias is None else torch.addcmul(bias.float(), y, x_scale, out=y)
    return y.reshape(*before, y.shape[-1]).to(out_dtype)
