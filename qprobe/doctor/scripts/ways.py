"""What is timed beside what, and how each is prepared: weights cold, code warm, other threads at rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.doctor.scripts.dtypes import best_types
from qprobe.documents.base import FloatDtype
from qprobe.kernels.resources import last_level_cache_bytes
from qprobe.timing.interleave import Task

LARGEST_FLUSH, QUICK_FLUSH = 2**28, 2**25
"""Bytes. A short run on a processor has little memory: of a larger cache its weights leave but the inner levels."""
WARM_CALLS = 4
"""Of the small layer, between throwing everything out of the caches and a sample."""
SETTLE_S, WAKE_S = 0.05, 0.03
"""Threads of two runtimes spin after their work and take the processors from each other: those of the one are
given time to come to rest, and those of the other to be awake, each on a processor of its own."""

UNQUANTIZED = 2
"""So many of the best types are timed without quantization: models are stored in one, and cast to another."""

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Way:
    """What is timed, and a small one of its kind.

    Whatever throws the weights out of the caches throws out the code too, which in a model the layers before
    have just run: a few calls of the small one bring it back, and leave the weights cold.
    """

    run: Call
    small: Call


class Unquantized:
    """Two layers as they were given, a large and a small one, in types that they could be left in without much loss."""

    def __init__(self, linear: nn.Linear, small: nn.Linear, device: str) -> None:
        types = best_types(device)[:UNQUANTIZED]
        self.n = linear.out_features
        self.ways: dict[FloatDtype, Way] = {
            name: Way(_product(linear, name), _product(small, name)) for name in types
        }


def _product(linear: nn.Linear, name: FloatDtype) -> Call:
    kind: torch.dtype = getattr(torch, name)
    return partial(functional.linear, weight=linear.weight.to(kind), bias=linear.bias.to(kind))


@dataclass(frozen=True)
class Rows:
    """The activations (M, K) of the layers that are timed, and of the small ones."""

    x: Tensor
    small: Tensor

    def to(self, name: FloatDtype) -> Rows:
        """The same in another type."""
        kind: torch.dtype = getattr(torch, name)
        return Rows(self.x.to(kind), self.small.to(kind))


def make_tasks(
    ways: Mapping[str, Way],
    beside: Unquantized,
    rows: Rows,
    device: str,
    is_full: bool,
    own_threads: bool,
) -> dict[str, Task]:
    """By "way NAME" and by type; each is prepared so that weights are cold, code warm and other threads at rest."""
    flush, clock = _flusher(device, is_full), _clock(device)
    settle = partial(time.sleep, SETTLE_S) if own_threads else None
    made: dict[str, Task] = {}
    for name, way in ways.items():
        steps = (flush, settle)  # the threads that flush are torch's
        made[f"way {name}"] = _task(way, rows, steps, own_threads, clock)
    for kind, way in beside.ways.items():
        made[kind] = _task(way, rows.to(kind), (settle, flush), own_threads, clock)
    return made


def _task(
    way: Way,
    rows: Rows,
    steps: tuple[Callable[[], object] | None, ...],
    is_asleep: bool,
    clock: Callable[[], float],
) -> Task:
    def prepare() -> None:
        for step in steps:
            if step is not None:
                step()
        end = time.perf_counter() + (WAKE_S if is_asleep else 0.0)
        for _ in range(WARM_CALLS):
            way.small(rows.small)
        while time.perf_counter() < end:
            way.small(rows.small)

    return Task(lambda _counter: way.run(rows.x), prepare=prepare, shortest_s=0.0, clock=clock)


def _flusher(device: str, is_full: bool) -> Callable[[], object]:
    """What leaves none of the weights in a cache: it reads as much of something else, or more."""
    size = (last_level_cache_bytes() or 2**25) if device == "cpu" else _gpu_cache(device)
    is_short = device == "cpu" and not is_full
    size = min(size, QUICK_FLUSH) if is_short else min(size + size // 4, LARGEST_FLUSH)
    other = torch.zeros(size // 4, device=device)
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
