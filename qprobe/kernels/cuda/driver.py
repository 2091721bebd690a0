"""What launches kernels: the GPUs of this machine through CuPy. The one place to put another in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from qprobe.kernels.cuda.arguments import TensorMap
from qprobe.kernels.cuda.portfolio import Source
from qprobe.kernels.cuda.tensor_maps import Boxes

Blocks = tuple[int, int, int]
Start = Callable[[int | None], None]
"""Puts a kernel on the current stream; where that is named, it may begin before the kernel before it has ended. One thread
at a time may call it."""
Launch = Callable[[Blocks, int], Start]
"""Makes a launch ready: the blocks, and the address of a `void**` of arguments, which are read at each start."""


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
        """Why no compiler here builds for the card, or its driver lacks what the features need; "" if all is there."""

    def find_device(self, index: int) -> torch.device:
        """Where tensors are for a card to see them."""

    def find_stream(self, index: int) -> int:
        """The current stream of a card, by the driver's own name for it."""

    def is_capturing(self) -> bool:
        """Whether what is launched goes into a CUDA graph instead of running."""

    def synchronize(self, index: int) -> None:
        """Wait for all that a card was told; raises RuntimeError where something failed there."""

    def encode(self, boxes: Boxes, address: int, index: int) -> TensorMap:
        """The tensor map of a matrix at an address of a card, in memory that lives as long as the map."""

    def load(self, source: Source, build: str, index: int) -> Launch:
        """The build of that name, compiled and on the card; the same object each time."""


def find_card(index: int | None) -> Card:
    """The card of a torch device; None: the first."""
    return current().cards()[index or 0]


@functools.cache  # An import statement at every launch would be half a microsecond.
def current() -> Driver:
    """What launches; tests put another function here."""
    from qprobe.kernels.cuda.loader import CUPY

    return CUPY
