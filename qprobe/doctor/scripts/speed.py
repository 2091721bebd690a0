"""Times a layer in turn with the unquantized one, as in a model of many layers: weights cold, code warm."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import torch

from qprobe.doctor.execution.disturbance import Contention
from qprobe.doctor.scripts.ways import Rows, Unquantized, Way, make_tasks
from qprobe.documents.finding import Speed
from qprobe.timing.interleave import Task, time_interleaved
from qprobe.timing.samples import Samples, ratio_of

SIDE, QUICK_SIDE = 2048, 1024
"""N and K of the layer that is timed; the smaller one in a short run on a processor, which has little memory."""
QUICK_M, FULL_M = (1, 32), (1, 32, 256)
QUICK_S, FULL_S = 0.12, 0.5
"""Seconds of timing at one number of rows; slow layers take more, for the least number of samples."""
QUICK_ATTEMPTS, FULL_ATTEMPTS = 2, 3
MIN_SAMPLES = 6
"""The fewest pairs that give an interval at 95 %; the slowest way has as many, since its loss is told too."""
PATIENCE_S = 3.0
"""What took longer is not timed again where it was disturbed: it is not near to what it is compared with."""
MAX_SAMPLES = 31


def side_of(device: str, is_full: bool) -> int:
    """N and K of the layer to time."""
    return SIDE if is_full or device != "cpu" else QUICK_SIDE


def time_beside(
    ways: Mapping[str, Way],
    beside: Unquantized,
    rows: Rows,
    device: str,
    *,
    is_full: bool,
    own_threads: bool = False,
) -> Speed:
    """Time each way and the unquantized layers; `rows` are what the ways take. Touches the clock.

    `own_threads`: the ways have others than torch has. Where others take the processors meanwhile, again;
    the calmest attempt counts.
    """
    attempts: list[Speed] = []
    tasks = make_tasks(ways, beside, rows, device, is_full, own_threads)
    start = time.perf_counter()
    for _ in range(FULL_ATTEMPTS if is_full else QUICK_ATTEMPTS):
        attempts.append(_time_once(tasks, beside, rows, device, is_full))
        if not attempts[-1].is_disturbed or time.perf_counter() - start > PATIENCE_S:
            break
    return min(attempts, key=lambda attempt: attempt.disturbance)


def _time_once(
    tasks: Mapping[str, Task], beside: Unquantized, rows: Rows, device: str, is_full: bool
) -> Speed:
    contention = Contention(torch.get_num_threads(), os.cpu_count() or 1)
    samples = time_interleaved(
        tasks,
        budget_s=FULL_S if is_full else QUICK_S,
        min_samples=MIN_SAMPLES,
        max_samples=MAX_SAMPLES,
        prune=False,
    )
    disturbance = contention.share() if device == "cpu" else 0.0
    ours = min((name for name in samples if name.startswith("way ")), key=_median_of(samples))
    plain = min(beside.ways, key=_median_of(samples))
    ratio = ratio_of(samples[plain], samples[ours])
    (m, k), n = rows.x.shape, beside.n
    return Speed(
        m=m,
        n=n,
        k=k,
        activation_dtype=str(rows.x.dtype).removeprefix("torch."),
        median_s=samples[ours].median,
        unquantized_s=samples[plain].median,
        unquantized_dtype=plain,
        ratio=ratio.median,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        disturbance=disturbance,
        kernel=ours.removeprefix("way "),
    )


def _median_of(samples: Mapping[str, Samples]) -> Callable[[str], float]:
    return lambda name: samples[name].median
