"""What layers are timed on: the processor, or a GPU. Everything that differs between the two is here."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from qprobe.bench._between import Stopwatch, make_interlude
from qprobe.bench._candidates import COMPUTE_DTYPES
from qprobe.documents.base import FloatDtype
from qprobe.kernels.resources import available_memory_bytes, last_level_cache_bytes
from qprobe.timing import yardstick
from qprobe.timing.event_clock import EventClock
from qprobe.timing.graphs import capture, host_seconds
from qprobe.timing.interleave import Task

T = TypeVar("T")

ASSUMED_CACHE_BYTES = 32 * 2**20
SETTLE_S = 8e-3
"""Weights of 3 MB, swept through again and again, are read a third faster after eight passes than after one."""
GPU_SAMPLE_S = 4e-3
"""A sample that begins with an idle GPU waits for the first launch, some 10 µs."""
WARM_S = 0.3
QUEUED = 20
LEAST_CALLS = 16
"""In a graph, so that starting it does not count."""


@dataclass(frozen=True)
class Timing:
    """How a layer is timed, in turn with others."""

    task: Task
    """By a clock that tells the seconds of one call."""
    host_s: float | None
    """What the host needs to start a call; None where it computes it as well."""


class Bed(Protocol):
    """A device and its clock."""

    name: str
    device: torch.device
    compute_dtypes: tuple[FloatDtype, ...]
    """Types of activations that are worth trying."""
    most_bytes: int | None
    """Of a candidate's copies, beyond the least number; None: what memory allows."""
    follows: bool
    """Whether a layer may be timed right after another that reads the same tensor, which only one quantizes."""

    def cache_bytes(self) -> int:
        """What the last-level cache holds."""

    def memory_bytes(self) -> int | None:
        """What can still be taken; None: unknown."""

    def yardstick(self) -> Task:
        """The fixed piece of work."""

    def time_layers(self, layers: Sequence[nn.Linear], xs: Sequence[Tensor]) -> Timing:
        """Equal layers in turn, on inputs in turn, each after other work where that makes a difference."""

    def ask_under_load(self, ask: Callable[[], T]) -> T:
        """What somebody says while the device works as hard as it can."""

    def active(self) -> AbstractContextManager[object]:
        """Within, this is the device that work goes to."""


class Processor:
    """The CPU, by the system's clock."""

    name = "cpu"
    device = torch.device("cpu")
    compute_dtypes: tuple[FloatDtype, ...] = COMPUTE_DTYPES
    most_bytes: int | None = 96 * 2**20
    follows = True

    def cache_bytes(self) -> int:
        return last_level_cache_bytes() or ASSUMED_CACHE_BYTES

    def memory_bytes(self) -> int | None:
        return available_memory_bytes()

    def yardstick(self) -> Task:
        return yardstick.make_yardstick()

    def time_layers(self, layers: Sequence[nn.Linear], xs: Sequence[Tensor]) -> Timing:
        count, inputs = len(layers), len(xs)
        clock = Stopwatch()
        interlude = clock.leave_out(make_interlude(*xs[0].shape))

        def run(counter: int) -> None:
            interlude()
            layers[counter % count](xs[counter % inputs])

        return Timing(Task(run, warm_up=count, warm_up_s=SETTLE_S, clock=clock), None)

    def ask_under_load(self, ask: Callable[[], T]) -> T:
        return ask()

    def active(self) -> AbstractContextManager[object]:
        return nullcontext()


class Gpu:
    """An NVIDIA GPU, by its own clock; calls run back to back, captured in a graph."""

    compute_dtypes: tuple[FloatDtype, ...] = ("float32", "bfloat16", "float16")
    most_bytes: int | None = None
    follows = False
    """In a graph each layer quantizes its input by itself, and none waits for the host."""

    def __init__(self, name: str) -> None:
        """`name` is "cuda:N"; starts its clock."""
        self.name, self.device = name, torch.device(name)
        with torch.cuda.device(self.device):
            self.clock = EventClock()
            self._pool = torch.cuda.graph_pool_handle()
        self._last: Callable[[], None] | None = None

    def cache_bytes(self) -> int:
        return torch.cuda.get_device_properties(self.device).L2_cache_size

    def memory_bytes(self) -> int | None:
        free: int = torch.cuda.mem_get_info(self.device)[0]
        # What torch holds and does not use can be taken as well.
        held = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return free + held

    def yardstick(self) -> Task:
        return yardstick.make_yardstick(self.device, self.clock)

    def time_layers(self, layers: Sequence[nn.Linear], xs: Sequence[Tensor]) -> Timing:
        count = max(len(layers), LEAST_CALLS)
        calls = [lambda i=i: layers[i % len(layers)](xs[i % len(xs)]) for i in range(count)]
        host_s = host_seconds(calls)
        try:
            # Kept until the next: a pool that no graph uses any more is gone, and no capture can begin with it.
            replay = self._last = capture(calls, self._pool)
        except RuntimeError:
            # A capture that failed leaves the pool in use: no other could begin with it.
            self._pool = torch.cuda.graph_pool_handle()
            raise
        task = Task(
            lambda _: replay(),
            shortest_s=GPU_SAMPLE_S / count,
            clock=lambda: self.clock() / count,
        )
        return Timing(task, host_s)

    def ask_under_load(self, ask: Callable[[], T]) -> T:
        with self.active():
            task = self.yardstick()
            end = time.perf_counter() + WARM_S
            while time.perf_counter() < end:
                task.run(0)
                self.clock()
            for _ in range(QUEUED):
                task.run(0)
            answer = ask()
            self.clock()
        return answer

    def active(self) -> AbstractContextManager[object]:
        device: AbstractContextManager[object] = torch.cuda.device(self.device)
        return device


def find_bed(device: str) -> Bed:
    """The bed of "cpu" or "cuda:N"."""
    return Processor() if device == "cpu" else Gpu(device)
