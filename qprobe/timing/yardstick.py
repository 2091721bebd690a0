"""A fixed piece of work that is timed beside everything else: it tells how fast the machine is now.

Shared machines change speed by tens of percent within minutes. Seconds that were measured at
different times are compared by way of the yardstick that was timed in turn with each.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from qprobe.timing.interleave import Task, time_interleaved

NAME = "yardstick"
SIDE = 512
ELEMENTS = 2**21
BUDGET_S = 0.5
SAMPLE_S = 0.01


def make_yardstick() -> Task:
    """A float32 product of 512³ and a GELU over 8 MiB: arithmetic in the caches, and memory."""
    matrix = torch.full((SIDE, SIDE), 1 / SIDE)
    product = torch.empty(SIDE, SIDE)
    activations = torch.linspace(-3, 3, ELEMENTS)

    def run(_counter: int) -> None:
        torch.mm(matrix, matrix, out=product)
        functional.gelu(activations)

    return Task(run, is_rival=False, shortest_s=SAMPLE_S)


def time_yardstick() -> float:
    """Seconds of the yardstick now, alone; touches the clock."""
    timed = time_interleaved({NAME: make_yardstick()}, budget_s=BUDGET_S, max_samples=201)
    return timed[NAME].median
