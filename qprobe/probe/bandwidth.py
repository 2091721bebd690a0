"""Measures how fast this process moves memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

_LEAST_BYTES = 128 * 2**20
_MOST_BYTES = 2 * 2**30
_RUNS = 5


def working_set_bytes(
    cache_bytes: int | None, available_bytes: int | None, most_bytes: int | None = None
) -> int | None:
    """A size that the caches cannot hold and the memory can: whole MiB.

    Four times the caches, within fixed bounds, and never over an eighth of the memory that is left.
    None where `most_bytes` allows less than twice the caches: that would measure those.
    """
    size = min(max(_LEAST_BYTES, 4 * (cache_bytes or 0)), _MOST_BYTES)
    if available_bytes is not None:
        size = min(size, available_bytes // 8)
    if most_bytes is not None and most_bytes < size:
        if most_bytes < 2 * (cache_bytes or 0):
            return None
        size = most_bytes
    return max(size >> 20, 2) << 20


def measure_bandwidth(
    cache_bytes: int | None, available_bytes: int | None, most_bytes: int | None = None
) -> tuple[float, float] | None:
    """Bytes per second of copying (read and written bytes both count) and of reading.

    With torch's threads; medians of several passes over one buffer, after a pass that is not timed. None
    where no more than `most_bytes` may be used, and the caches hold them.
    """
    size = working_set_bytes(cache_bytes, available_bytes, most_bytes)
    if size is None:
        return None
    buffer = torch.zeros(size // 8, dtype=torch.int64)
    half = buffer.numel() // 2
    target, source = buffer[:half], buffer[half:]
    copy = _median_seconds(lambda: target.copy_(source))
    # An integer sum is the least arithmetic of all of torch's passes that only read.
    read = _median_seconds(buffer.sum)
    return size / copy, size / read


def _median_seconds(run: Callable[[], object]) -> float:
    run()
    seconds = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
