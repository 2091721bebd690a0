"""Times a layer in turn with the unquantized one, the weights cold as in a model of many layers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.doctor.execution.disturbance import Contention
from qprobe.documents.base import FloatDtype
from qprobe.documents.finding import Speed
from qprobe.kernels.device import last_level_cache_bytes
from qprobe.timing.interleave import Task, time_interleaved
from qprobe.timing.samples import Samples, ratio_of

SIDE = 2048
"""N and K of the layer that is timed."""
QUICK_M, FULL_M = (1, 32), (1, 32, 256)
LARGEST_FLUSH = 2**28
QUICK_S, FULL_S = 0.12, 0.5
"""Seconds of timing at one number of rows; slow layers take more, for the least number of samples."""
QUICK_ATTEMPTS, FULL_ATTEMPTS = 2, 3
MIN_SAMPLES = 6
"""The fewest pairs that give an interval at 95 %."""
MAX_SAMPLES = 31
_KINDS: dict[str, tuple[FloatDtype, ...]] = {
    "cpu": ("float32", "bfloat16"),
    "cuda": ("bfloat16", "float16"),
}

Call = Callable[[Tensor], Tensor]


class Unquantized:
    """The layer as it was given, in every type that it could be left in without much loss."""

    def __init__(self, linear: nn.Linear, kind: str) -> None:
        self.layers: dict[FloatDtype, tuple[Tensor, Tensor]] = {
            name: (linear.weight.to(getattr(torch, name)), linear.bias.to(getattr(torch, name)))
            for name in _KINDS[kind]
        }

    def calls(self, x: Tensor) -> dict[str, Callable[[int], object]]:
        """Type → the product with x in that type."""
        made: dict[str, Callable[[int], object]] = {}
        for name, (weight, bias) in self.layers.items():
            rows = x.to(weight.dtype)
            made[name] = _bind(partial(functional.linear, weight=weight, bias=bias), rows)
        return made


def _bind(call: Call, x: Tensor) -> Callable[[int], object]:
    return lambda _counter: call(x)


def time_beside(
    ways: Mapping[str, Call], beside: Unquantized, x: Tensor, device: str, is_full: bool
) -> Speed:
    """Time each way and the unquantized layers; x (M, K) is what the ways take. Touches the clock.

    Where others take the processors meanwhile, again; the calmest attempt counts.
    """
    attempts: list[Speed] = []
    for _ in range(FULL_ATTEMPTS if is_full else QUICK_ATTEMPTS):
        attempts.append(_time_once(ways, beside, x, device, is_full))
        if not attempts[-1].is_disturbed:
            break
    return min(attempts, key=lambda attempt: attempt.disturbance)


def _time_once(
    ways: Mapping[str, Call], beside: Unquantized, x: Tensor, device: str, is_full: bool
) -> Speed:
    flush, clock = _flusher(device), _clock(device)
    calls = {f"way {name}": _bind(run, x) for name, run in ways.items()} | beside.calls(x)
    tasks = {
        name: Task(call, prepare=flush, shortest_s=0.0, clock=clock) for name, call in calls.items()
    }
    contention = Contention(torch.get_num_threads(), os.cpu_count() or 1)
    samples = time_interleaved(
        tasks,
        budget_s=FULL_S if is_full else QUICK_S,
        min_samples=MIN_SAMPLES,
        max_samples=MAX_SAMPLES,
    )
    disturbance = contention.share() if device == "cpu" else 0.0
    ours = min((name for name in samples if name.startswith("way ")), key=_median_of(samples))
    plain = min(beside.layers, key=_median_of(samples))
    ratio = ratio_of(samples[plain], samples[ours])
    weight = beside.layers[plain][0]
    return Speed(
        m=len(x),
        n=weight.shape[0],
        k=weight.shape[1],
        activation_dtype=str(x.dtype).removeprefix("torch."),
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


def _flusher(device: str) -> Callable[[], object]:
    """What leaves none of the weights in a cache: it reads as much of something else."""
    size = (last_level_cache_bytes() or 2**25) if device == "cpu" else _gpu_cache(device)
    other = torch.zeros(min(2 * size, LARGEST_FLUSH) // 4, device=device)
    return other.sum if device == "cpu" else other.zero_


def _gpu_cache(device: str) -> int:
    return int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 2**26))


def _clock(device: str) -> Callable[[], float]:
    if device == "cpu":
        return time.perf_counter

    def wait_and_read() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return wait_and_read
