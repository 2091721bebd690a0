"""What the methods of HQQ share: groups of 64 along K, by its own PyTorch backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qprobe.doctor._layer import Made

if TYPE_CHECKING:
    import torch
    from torch import nn

NEEDS = ("torch", "hqq")
GROUP = 64


def load_hqq() -> None:
    """Import HQQ."""
    import hqq.core.quantize  # noqa: F401


def make_groups(bits: int, linear: nn.Linear, dtype: torch.dtype) -> Made:
    """`HQQLinear` with weights of so many bits."""
    import torch
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    from qprobe.doctor.scripts.layer import copy_linear

    layer: Any = HQQLinear(
        copy_linear(linear, torch.float32),
        BaseQuantizeConfig(nbits=bits, group_size=GROUP, axis=1),
        compute_dtype=dtype,
        device=str(linear.weight.device),
    ).eval()
    return Made(layer, layer.dequantize().float())
