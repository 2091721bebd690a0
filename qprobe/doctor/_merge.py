"""A method of two steps: a LoRA is merged into quantized layers, and the outputs have to stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from qprobe.doctor._layer import Made
    from qprobe.doctor.execution.report import Report


def merge_by_peft(model: Any) -> Any:
    """What PEFT offers: the adapter's product added to the weights, which are then quantized anew."""
    return model.merge_and_unload()


@dataclass(frozen=True)
class Merge:
    """The script of such a method."""

    package: str
    load: Callable[[], object]
    make: Callable[[nn.Linear, torch.dtype], Made]
    """From a float32 layer to a quantized one of the type of x, whose `run` is a module."""
    flag: str
    """The attribute by which PEFT tells that a model is quantized."""
    limit: float
    """‖y−ŷ‖/‖y‖ between the unmerged and the merged model that rounding anew explains."""
    merge: Callable[[Any], Any] = merge_by_peft
    """From a model with an adapter to one without, whose weights stand for both."""

    def __call__(self, report: Report) -> None:
        """Try it; runs in the process of the method."""
        from qprobe.doctor.scripts.merge import try_merge

        try_merge(self, report)
