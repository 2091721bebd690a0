"""A method that is a linear layer: how to make one, and what of its error is explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qprobe.documents.base import FloatDtype

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from qprobe.doctor.execution.report import Report


@dataclass(frozen=True)
class Made:
    """A quantized layer: what computes it, and the weight (N, K) that it stands for, if that is known.

    A weight that can be had at any time need not be kept while the layer is timed.
    """

    run: Callable[[Tensor], Tensor]
    weight: Tensor | Callable[[], Tensor] | None = None


if TYPE_CHECKING:
    Make = Callable[[nn.Linear, torch.dtype], Made | Mapping[str, Made]]


@dataclass(frozen=True)
class Layer:
    """The script of such a method."""

    package: str
    load: Callable[[], object]
    """Imports all that `make` needs."""
    make: Make
    """From a float32 layer, which it leaves as it is, and the type of x; several ways by their names."""
    dtypes: tuple[FloatDtype, ...]
    """The types of activations that it is for; it is timed in the device's best, else in the first."""
    weight_error: float
    """‖W−Ŵ‖/‖W‖ of normally distributed weights that the stored bits explain."""
    activation_error: float = 0.0
    """The same of activations, where they are quantized."""
    computes_in: FloatDtype | None = None
    """The type that it computes in whatever the type of x, where that is less precise."""
    compile: Callable[[], object] | None = None
    """Has the library compile what it would compile at first use: that takes longer than a step may."""
    own_threads: bool = False
    """Whether it computes with threads of its own, which spin beside torch's."""
    outliers: bool = False
    """Whether one feature of x is far above the rest, which the method is made for."""

    def __call__(self, report: Report) -> None:
        """Try it; runs in the process of the method."""
        from qprobe.doctor.scripts.layer import try_layer

        try_layer(self, report)
