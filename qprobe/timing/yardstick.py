"""A fixed piece of work that is timed beside everything else: it tells how fast the machine is now.

Shared machines change speed by tens of percent within minutes. Seconds that were measured at
different times are compared by way of the yardstick that was timed in turn with each.

It has to change as models do. A virtual machine of two processors went back and forth every few minutes
between two speeds: what one thread had written another read 8 times as slowly, as where the two are on
different dies, while reading from memory took two thirds of the time. Requests of three models took 1.10
to 1.32 times as long, the short ones most, products of matrices 1.06 to 1.08 times. Two products of 512³ and one
transposition, in which threads read what others have written, took 1.20 times as long: by their parts, four
products and one transposition take 1.14 times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn import functional

from qprobe.timing.interleave import Task, time_interleaved

NAME = "yardstick"
SIDE = 512
BUDGET_S = 0.2
SAMPLE_S = 0.01
GPU_FACTOR = 8
"""A GPU gets so many times the side: it would be done too soon."""


def make_yardstick(
    device: torch.device | None = None, clock: Callable[[], float] = time.perf_counter
) -> Task:
    """Four float32 products of 512³, and GELU on the transpose of what two of them give.

    On a GPU, by its `clock`, of 4096³, in float16 where that is fast.
    """
    is_gpu = device is not None and device.type == "cuda"
    factor = GPU_FACTOR if is_gpu else 1
    # 6.1 multiplies float16 at a sixty-fourth of its speed.
    is_half = is_gpu and torch.cuda.get_device_capability(device) != (6, 1)
    side, dtype = SIDE * factor, torch.float16 if is_half else torch.float32
    matrix = torch.full((side, side), 1 / side, dtype=dtype, device=device)

    def run(_counter: int) -> None:
        product = torch.mm(torch.mm(matrix, matrix), matrix)
        product = functional.gelu(product.t().contiguous())
        torch.mm(torch.mm(product, matrix), matrix)

    return Task(run, is_rival=False, shortest_s=SAMPLE_S, clock=clock)


def time_yardstick(task: Task | None = None) -> float:
    """Seconds of the yardstick now, alone; touches the clock. None: the processor's."""
    task = make_yardstick() if task is None else task
    timed = time_interleaved({NAME: task}, budget_s=BUDGET_S, max_samples=201)
    return timed[NAME].median
