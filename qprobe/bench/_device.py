"""What the roofline needs to know of a device: peaks and the cost of a call."""

from __future__ import annotations

from typing import Literal

import torch
from torch.nn import functional

from qprobe.documents.profile import Peak
from qprobe.timing.interleave import Task, time_interleaved

SIDE = 1024
BUDGET_S = 0.1


def measure_peaks() -> dict[str, Peak]:
    """Operations per second of a square product by type, in one run; touches the clock.

    A narrow type that is slower than float32 is emulated.
    """
    seconds = {}
    with torch.no_grad():
        tasks = {}
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(SIDE, SIDE).to(dtype)
            tasks[str(dtype)[6:]] = Task(lambda _, x=x: functional.linear(x, x))  # type: ignore[misc]
        codes = torch.randint(-63, 64, (SIDE, SIDE), dtype=torch.int8)
        tasks["int8"] = Task(lambda _: torch._int_mm(codes, codes.t()))
        timed = time_interleaved(tasks, budget_s=BUDGET_S, min_samples=3)
        seconds = {name: samples.median for name, samples in timed.items()}
    support: dict[str, Literal["native", "emulated"]] = {
        name: "emulated" if value > 1.2 * seconds["float32"] else "native"
        for name, value in seconds.items()
    }
    return {
        name: Peak(ops_per_s=2 * SIDE**3 / value, support=support[name])
        for name, value in seconds.items()
    }


def measure_launch() -> float:
    """Seconds of the smallest linear: what a call costs before it computes anything."""
    x = torch.zeros(1, 8)
    with torch.no_grad():
        timed = time_interleaved(
            {"call": Task(lambda _: functional.linear(x, x))}, budget_s=0.02, min_samples=5
        )
    return timed["call"].median
