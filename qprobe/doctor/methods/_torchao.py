"""What the methods of torchao share: a configuration, applied to one layer, eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qprobe.doctor._layer import Made

if TYPE_CHECKING:
    import torch
    from torch import nn

NEEDS = ("torch", "torchao")


def load_torchao() -> None:
    """Import what every configuration needs."""
    import torchao.quantization  # noqa: F401


def quantized(config: Callable[[], Any], linear: nn.Linear, dtype: torch.dtype) -> Made:
    """A copy of the layer in `dtype`, quantized as `config` says."""
    from torchao.quantization import quantize_

    from qprobe.doctor.scripts.layer import copy_linear

    layer = copy_linear(linear, dtype)
    quantize_(layer, config())
    weight: Any = layer.weight
    stored = weight.dequantize().float() if hasattr(weight, "dequantize") else None
    return Made(layer, stored)
