"""Work of a GPU captured once, so that it is started as a whole and nothing waits for the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

HOST_CALLS = 20
HOST_ROUNDS = 5
WARM_UP = 2


def capture(calls: Sequence[Callable[[], object]], pool: Any = None) -> Callable[[], None]:
    """All calls in a row as one CUDA graph on the current GPU; what comes back replays it, and keeps the calls.

    Graphs that are given one `pool` share their memory: none may keep what it computes. Raises
    RuntimeError where a call does what a graph cannot.
    """
    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            for call in calls:
                call()
        torch.cuda.synchronize()
        # Not by `torch.cuda.graph`, which collects garbage and empties the allocator each time.
        graph.capture_begin(*(() if pool is None else (pool,)))
        try:
            for call in calls:
                call()
        finally:
            graph.capture_end()
    torch.cuda.current_stream().wait_stream(side)

    def replay(_kept: object = tuple(calls)) -> None:
        # The graph reads what the calls do, and does not hold it.
        graph.replay()

    return replay


def host_seconds(
    calls: Sequence[Callable[[], object]],
    synchronize: Callable[[], object] = torch.cuda.synchronize,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds that the host needs to start one of the calls: the least of some rounds, on average.

    Few enough are started at a time that the GPU's queue holds them all.
    """
    rounds = []
    for _ in range(HOST_ROUNDS):
        synchronize()
        start = clock()
        for index in range(HOST_CALLS):
            calls[index % len(calls)]()
        rounds.append((clock() - start) / HOST_CALLS)
    synchronize()
    return min(rounds)
