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
from qprobe.doctor.native import PROCESSORS
from qprobe.documents.base import FloatDtype
from qprobe.documents.finding import Speed
from qprobe.kernels.device import cpu_features
from qprobe.kernels.resources import last_level_cache_bytes
from qprobe.timing.interleave import Task, time_interleaved
from qprobe.timing.samples import Samples, ratio_of

SIDE, QUICK_SIDE = 2048, 1024
"""N and K of the layer that is timed; the smaller one in a short run on a processor, which has little memory."""
QUICK_M, FULL_M = (1, 32), (1, 32, 256)
LARGEST_FLUSH = 2**28
QUICK_S, FULL_S = 0.12, 0.5
"""Seconds of timing at one number of rows; slow layers take more, for the least number of samples."""
QUICK_ATTEMPTS, FULL_ATTEMPTS = 2, 3
MIN_SAMPLES = 6
"""The fewest pairs that give an interval at 95 %; the slowest way has as many, since its loss is told too."""
PATIENCE_S = 3.0
"""What took longer is not timed again where it was disturbed: it is not near to what it is compared with."""
MAX_SAMPLES = 31
_SLOW_IN_HALVES = ((6, 1), (6, 2))
"""Pascal without the chip of the P100: float16 at 1/64 of the rate of float32."""
_FIRST_WITH_BFLOAT16 = (8, 0)

Call = Callable[[Tensor], Tensor]


def side_of(device: str, is_full: bool) -> int:
    """N and K of the layer to time."""
    return SIDE if is_full or device != "cpu" else QUICK_SIDE


def best_types(device: str) -> tuple[FloatDtype, ...]:
    """The types of activations, the one that the device is fastest in first. Asks the device."""
    if device == "cpu":
        has_bfloat16 = bool(set(PROCESSORS["bf16"].flags) & set(cpu_features()))
        return rank_types(None, has_bfloat16)
    return rank_types(torch.cuda.get_device_capability(device), False)


def rank_types(
    capability: tuple[int, int] | None, cpu_has_bfloat16: bool
) -> tuple[FloatDtype, ...]:
    """The same by the compute capability of a card, or, without one, by what the processor has.

    torch computes in all of them everywhere; where it emulates, a figure says little of the method.
    """
    if capability is None:
        best: FloatDtype = "bfloat16" if cpu_has_bfloat16 else "float32"
        return (best, *(name for name in ("float32", "bfloat16", "float16") if name != best))
    if capability >= _FIRST_WITH_BFLOAT16:
        return ("bfloat16", "float16", "float32")
    if capability in _SLOW_IN_HALVES:
        return ("float32", "float16", "bfloat16")
    return ("float16", "float32", "bfloat16")


UNQUANTIZED = 2
"""So many of the best types are timed without quantization: models are stored in one, and cast to another."""


class Unquantized:
    """The layer as it was given, in the types that it could be left in without much loss."""

    def __init__(self, linear: nn.Linear, device: str) -> None:
        self.layers: dict[FloatDtype, tuple[Tensor, Tensor]] = {
            name: (linear.weight.to(getattr(torch, name)), linear.bias.to(getattr(torch, name)))
            for name in best_types(device)[:UNQUANTIZED]
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
    start = time.perf_counter()
    for _ in range(FULL_ATTEMPTS if is_full else QUICK_ATTEMPTS):
        attempts.append(_time_once(ways, beside, x, device, is_full))
        if not attempts[-1].is_disturbed or time.perf_counter() - start > PATIENCE_S:
            break
    return min(attempts, key=lambda attempt: attempt.disturbance)


def _time_once(
    ways: Mapping[str, Call], beside: Unquantized, x: Tensor, device: str, is_full: bool
) -> Speed:
    flush, clock = _flusher(device, is_full), _clock(device)
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
        prune=False,
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


def _flusher(device: str, is_full: bool) -> Callable[[], object]:
    """What leaves none of the weights in a cache: it reads as much of something else, or more."""
    size = (last_level_cache_bytes() or 2**25) if device == "cpu" else _gpu_cache(device)
    size += size // 4 if is_full or device != "cpu" else 0  # a short run has little memory
    other = torch.zeros(min(size, LARGEST_FLUSH) // 4, device=device)
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
