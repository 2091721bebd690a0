"""What a method is: a way that somebody offers to compute with quantized weights, and how to try it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from qprobe.documents.finding import Fix

if TYPE_CHECKING:
    from qprobe.doctor.execution.report import Report

Level = Literal["quick", "full"]
"""`quick`: a part of every run. `full`: run with `--full`, or when it is named."""

Without = Literal["refuses", "falls back", "slow"]
"""What becomes of a method on a card that lacks its feature: it says no; it computes by something else; or
it does that so slowly that nobody gains by it."""


@dataclass(frozen=True)
class Method:
    """A way to compute with quantized weights; `script` tries it in a process of its own.

    Nothing of what it needs is imported before `script` runs.
    """

    id: str
    title: str
    bits: int
    """Of a weight as it is stored, without scales."""
    family: str
    """What is quantized, in words that methods of the same kind share."""
    script: Callable[[Report], None]
    needs: tuple[str, ...] = ("torch",)
    """Distributions; "a|b" where either will do."""
    install: str = ""
    """What `pip install` is told; the names in `needs` by default."""
    apart: bool = False
    """Whether installing it replaces packages that others need, torch above all."""
    devices: tuple[str, ...] = ("cpu", "cuda")
    feature: str = ""
    """What of the hardware makes it fast: a key of `qprobe.doctor.rules.hardware.FEATURES`."""
    without: Without = "refuses"
    """What it does on a card that lacks the feature."""
    fallback: str = ""
    """How it computes there, where it does."""
    faults: Mapping[str, Literal["broken", "slow"]] = field(default_factory=dict)
    """Known fault of libraries, by its id among the rules → what it makes of the method."""
    level: Level = "full"
    in_torch: bool = True
    """Whether it can take a layer's place in a PyTorch model."""
    note: str = ""
    """What its figures do not show."""
    cure: Fix | None = None
    """What to do where it is broken or refused, if that is known."""

    @property
    def install_command(self) -> str:
        """The line that installs what it needs."""
        names = self.install or " ".join(need.partition("|")[0] for need in self.needs)
        return f"pip install {names}"
