"""Times several tasks in turn, so that what disturbs one disturbs all."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qprobe.timing.samples import Samples

SHORTEST_SAMPLE_S = 2e-3
"""Shorter tasks are repeated within one sample. After another task, code and threads are cold: a
sample of two calls of 50 µs took half as long again as the same calls in a model, where the layers
before them are of the same kind."""
DOMINATED = 4.0
"""A task this many times slower than the fastest is out of the race: few samples will do."""
DOMINATED_SAMPLES = 3
ATTEMPTS = 3
DISTURBED = 0.25
"""A spread (p80 − p20) / median above this says that something else was running."""
LONG_S = 0.1
"""Calls this long need no call before them to warm up."""


@dataclass(frozen=True)
class Task:
    """Something to time. `run` gets a counter, to rotate what it works on."""

    run: Callable[[int], object]
    prepare: Callable[[], object] | None = None
    """Called before each sample, outside the clock."""
    is_rival: bool = True
    """Whether it is in the race that the slow ones are dropped from."""
    shortest_s: float = SHORTEST_SAMPLE_S
    """A sample repeats the call until it is about this long."""
    warm_up: int = 1
    """Calls before each sample of a short task, outside the clock: as many as it rotates over, so that
    what fits the caches is in them, as it is when a model runs again and again."""
    warm_up_s: float = 0.0
    """They go on for about this long: caches take some passes to settle on what they keep."""
    clock: Callable[[], float] = time.perf_counter
    """Seconds that only go on during what counts."""


def time_interleaved(
    tasks: Mapping[str, Task],
    *,
    budget_s: float,
    min_samples: int = 5,
    max_samples: int = 51,
    prune: bool = True,
) -> dict[str, Samples]:
    """Take samples of every task in rounds; touches the clock and whatever the tasks touch.

    Each task is warmed up first, and before each sample again if it is short: the task before it
    left code, data and threads cold. Rounds go on until `budget_s` is spent and every task has
    `min_samples`, or until `max_samples`; each round starts one task further on. With `prune`, a
    task that is `DOMINATED` by the fastest stops after a few samples.
    """
    counters = dict.fromkeys(tasks, 0)
    first = {name: _sample(task, counters, name, 1) for name, task in tasks.items()}
    is_short = {name: seconds < LONG_S for name, seconds in first.items()}
    again = {n: _sample(t, counters, n, 1) if is_short[n] else first[n] for n, t in tasks.items()}
    repeats = {n: _count_calls(t.shortest_s, again[n]) for n, t in tasks.items()}
    warm_ups = {n: max(t.warm_up, _count_calls(t.warm_up_s, again[n])) for n, t in tasks.items()}
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    order = list(tasks)
    start = time.perf_counter()
    for number in range(max_samples):
        if number >= min_samples and time.perf_counter() - start > budget_s:
            break
        best = [min(taken[n]) for n, task in tasks.items() if task.is_rival and taken[n]]
        bar = DOMINATED * min(best, default=math.inf)
        shift = number % len(order)
        for name in order[shift:] + order[:shift]:
            seconds = taken[name]
            is_slow = prune and tasks[name].is_rival and min(seconds, default=0.0) > bar
            if not is_slow or len(seconds) < DOMINATED_SAMPLES:
                if is_short[name]:
                    _sample(tasks[name], counters, name, warm_ups[name])
                seconds.append(_sample(tasks[name], counters, name, repeats[name]))
    return {name: Samples(tuple(seconds)) for name, seconds in taken.items()}


def time_calmly(
    tasks: Mapping[str, Task], *, budget_s: float, min_samples: int = 5, max_samples: int = 51
) -> dict[str, Samples]:
    """`time_interleaved`, again where the machine was disturbed; the calmest attempt counts."""
    attempts: list[dict[str, Samples]] = []
    for _ in range(ATTEMPTS):
        attempts.append(
            time_interleaved(
                tasks, budget_s=budget_s, min_samples=min_samples, max_samples=max_samples
            )
        )
        if _unrest(attempts[-1]) < DISTURBED:
            break
    return min(attempts, key=_unrest)


def _unrest(timed: Mapping[str, Samples]) -> float:
    """The spread of the middle task, of those that were sampled often enough to have one."""
    often = [item.spread for item in timed.values() if len(item.seconds) > DOMINATED_SAMPLES]
    return statistics.median_high(often or [item.spread for item in timed.values()])


def _count_calls(least_s: float, seconds: float) -> int:
    """How many calls take that long at least."""
    return max(1, math.ceil(least_s / max(seconds, 1e-9)))


def _sample(task: Task, counters: dict[str, int], name: str, repeats: int) -> float:
    """Mean seconds of `repeats` calls in a row."""
    if task.prepare is not None:
        task.prepare()
    first = counters[name]
    counters[name] += repeats
    start = task.clock()
    for counter in range(first, first + repeats):
        task.run(counter)
    return (task.clock() - start) / repeats
