"""What the plan is for: the request, and the limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qprobe.documents.base import Count, Document, Flag, Positive

DEFAULT_MAX_ERROR = 0.05
"""Relative error at the model's output that is allowed where the user says nothing."""
ERROR_RESERVE = 0.2
"""Share of the error limit that is left free: the reach of a group is measured under one scheme of a kind and
differs a little for the others, and from text to text. For half of the groups of a trained encoder and of a
trained decoder, W8A8 came out 4 % below to 1 % above its estimate, W4A16 8 % below to 9 % above, NF4 up to
29 % above: the groups that seem least sensitive are those whose reach was measured too small."""


class ErrorLimit(Document):
    """Limit of ‖y−ŷ‖/‖y‖ at the model's output. A soft one yields to the memory limit, given or not."""

    value: Annotated[float, Field(ge=0, strict=True)] = DEFAULT_MAX_ERROR
    hard: Flag = False

    @property
    def planned(self) -> float:
        """The error that a plan within the limit may reach: the limit less the reserve."""
        return (1 - ERROR_RESERVE) * self.value

    @property
    def budget(self) -> float:
        """What errors may take in all. Squares of errors add, so it is the square of the limit."""
        return self.value * self.value


class Objective(Document):
    """The request whose time is minimised, within the limits."""

    batch: Positive = 1
    prompt: Positive = 128
    generate: Count = 0
    launch: Literal["eager", "graph"] = "eager"
    memory_limit_bytes: Positive | None = None
    """None: the device's free memory less a reserve."""
    error_limit: ErrorLimit = ErrorLimit()
    pinned: dict[str, str] = Field(default_factory=dict)
    """Fusion group → the name of the scheme that it must have."""

    @property
    def past(self) -> int:
        """Tokens of a sequence that have been read before the token in the middle of decoding."""
        return self.prompt + self.generate // 2
