"""What the plan is for: the request, and the limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qprobe.documents.base import Count, Document, Flag, Positive

DEFAULT_MAX_ERROR = 0.05
"""Relative error at the model's output that is allowed where the user says nothing."""


class ErrorLimit(Document):
    """Limit of ‖y−ŷ‖/‖y‖ at the model's output. A soft one yields to an explicit memory limit."""

    value: Annotated[float, Field(ge=0, strict=True)] = DEFAULT_MAX_ERROR
    hard: Flag = False


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
