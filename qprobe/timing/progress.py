"""How long work tells what it is doing, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with what is being done and the share that is done, 0 … 1."""


def silent(_message: str, _share: float) -> None:
    """Tell nobody."""
