"""How near the processors are to each other, as often as it is asked: it tells when that changes.

A virtual machine of two processors goes back and forth within minutes, as if they were on one die and on two.
What one thread writes another then reads several times as slowly, while memory is read faster: no single
factor brings what was measured before to what is measured after.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch

ELEMENTS = 2**17
"""Of each thread's half: its processor's own cache holds them."""
PASSES = 9
STEADY = 2.5
"""It was 1 to 2.2 or 7 to 8.4 on a virtual machine of two processors."""


class Handover:
    """Asked now and then, it keeps what it found."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def ask(self, *_told: object) -> None:
        """Measure it now; touches the clock."""
        self.found.append(measure_handover())

    @property
    def told(self) -> tuple[float, ...]:
        """What it found, for a report."""
        return tuple(float(f"{ratio:.3g}") for ratio in self.found)


def measure_handover() -> float:
    """Seconds in which threads read what others wrote, over those in which they read their own."""
    near, far = torch.zeros(2, ELEMENTS), torch.zeros(2, ELEMENTS)

    def swap() -> None:
        far.copy_(near.flip(0))
        near.copy_(far.flip(0))

    def keep() -> None:
        far.copy_(near.clone())
        near.copy_(far.clone())

    return _middle(swap) / _middle(keep)


def _middle(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(PASSES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def is_steady(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether the processors were as near for most of the time after as for most of the time before."""
    if not (before and after):
        return True
    ratio = statistics.median(after) / statistics.median(before)
    return 1 / STEADY < ratio < STEADY
