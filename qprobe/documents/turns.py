"""Which of the kernels that take turns on one packing of a weight is for how many rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol


class Turn(Protocol):
    """What kernels and facts of kernels have in common."""

    @property
    def packing(self) -> str:
        """Kernels of one packing can take turns on one copy of the weights."""

    @property
    def min_rows(self) -> int:
        """The least M from which on it is meant for more than those behind it of the same packing."""

    @property
    def max_rows(self) -> int | None:
        """The largest M that it is meant for; None: any."""


def most_rows(turns: Sequence[Turn]) -> list[int | None]:
    """The largest M that each is for, beside those before it that go at least as far; None: any.

    0 where another for few rows is for all of those that it is meant for.
    """
    found: list[int | None] = []
    for place, turn in enumerate(turns):
        beside = [
            other
            for other in turns[:place]
            if other.packing == turn.packing
            and (other.max_rows or math.inf) >= (turn.max_rows or math.inf)
        ]
        limits = [turn.max_rows]
        for other in beside:
            if other.min_rows > turn.min_rows:
                limits.append(other.min_rows - 1)
            elif other.max_rows is not None:
                limits.append(0)
        found.append(min((rows for rows in limits if rows is not None), default=None))
    return found
