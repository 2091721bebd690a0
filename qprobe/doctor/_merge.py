"""A method of two steps: a LoRA is merged into quantized layers, and the outputs have to stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qprobe.doctor._layer import Layer
    from qprobe.doctor.execution.report import Report


@dataclass(frozen=True)
class Merge:
    """The script of such a method."""

    package: str
    load: Callable[[], object]
    layer: Layer
    """What the weights are stored by."""
    flag: str
    """The attribute by which PEFT tells that a model is quantized."""
    limit: float
    """‖y−ŷ‖/‖y‖ between the unmerged and the merged model that rounding anew explains."""

    def __call__(self, report: Report) -> None:
        """Try it; runs in the process of the method."""
        from qprobe.doctor.scripts.merge import try_merge

        try_merge(self, report)
