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
    import torch
    from torchao.quantization import quantize_

    from qprobe.doctor.scripts.layer import copy_linear

    layer = copy_linear(linear, dtype)
    quantize_(layer, config())
    weight: Any = layer.weight
    if type(weight.data) is torch.Tensor and weight.dtype == dtype and not weight.is_quantized:
        raise ValueError(f"it leaves a layer with K = {linear.in_features} unquantized, silently")
    try:
        return Made(layer, weight.dequantize().float())
    except NotImplementedError:  # a packing that is not undone
        return Made(layer)
