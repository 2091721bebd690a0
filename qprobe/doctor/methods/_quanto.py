"""What the methods of optimum-quanto share: weights of a type, frozen, activations as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qprobe.doctor._layer import Made

if TYPE_CHECKING:
    import torch
    from torch import nn

NEEDS = ("torch", "optimum-quanto")


def load_quanto() -> None:
    """Import optimum-quanto."""
    from optimum import quanto  # noqa: F401


def frozen(weights: str, linear: nn.Linear, dtype: torch.dtype) -> Made:
    """A copy of the layer in `dtype` whose weight is of a type of quanto, by its name."""
    from optimum import quanto
    from torch import nn

    from qprobe.doctor.scripts.layer import copy_linear

    holder = nn.Sequential(copy_linear(linear, dtype))
    quanto.quantize(holder, weights=quanto.qtypes[weights])
    quanto.freeze(holder)
    layer: Any = holder[0].eval()
    return Made(layer, layer.weight.dequantize().float())
