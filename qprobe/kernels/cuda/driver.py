"""What launches kernels: the GPUs of this machine through CuPy. The one place to put another in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from qprobe.kernels.cuda.portfolio import Source

Blocks = tuple[int, int, int]
Launch = Callable[[Blocks, int], None]
"""Puts a kernel on the current stream: the blocks, and the address of a `void**` of arguments."""


@dataclass(frozen=True)
class Card:
    """A GPU, as far as the choice of a kernel and of its grid depend on it."""

    index: int
    name: str
    capability: str
    """As in "9.0"."""
    sm_count: int


class Driver(Protocol):
    """Finds cards and loads kernels on them."""

    def find_obstacle(self) -> str:
        """Why no kernel of ours can be launched on this machine; "" if one can."""

    def cards(self) -> tuple[Card, ...]:
        """The cards that kernels can be launched on, by their index."""

    def find_build_obstacle(self, card: Card, features: tuple[str, ...]) -> str:
        """Why no compiler here builds for the card; "" if one does."""

    def load(self, source: Source, build: str, index: int) -> Launch:
        """The build of that name, compiled and on the card; the same object each time."""


def find_card(index: int | None) -> Card:
    """The card of a torch device; None: the first."""
    return current().cards()[index or 0]


def current() -> Driver:
    """What launches; tests put another function here."""
    from qprobe.kernels.cuda.loader import CUPY

    return CUPY
