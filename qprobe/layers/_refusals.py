"""What planned layers say of operands that do not fit them."""

from __future__ import annotations

import torch
from torch import Tensor


def refuse_input(x: Tensor, features: int, device: torch.device) -> Exception:
    """Of an x that is not (…, `features`), floating point and on the device."""
    found = x.shape[-1] if x.dim() else 0
    if found != features:
        return ValueError(f"x has {found} features, the layer takes {features}")
    if x.device != device:
        return ValueError(f"x is on {x.device}, the weight of the layer on {device}")
    return TypeError(f"x is {x.dtype}; the layer takes floating-point activations")


def refuse_bias(bias: Tensor, features: int, device: torch.device) -> Exception:
    """Of a bias that is not (`features`,) on the device: kernels get its address and read so many."""
    return ValueError(
        f"the bias has {bias.numel()} elements on {bias.device}, the layer takes {features} on {device}"
    )
