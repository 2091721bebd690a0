"""Counters for blocks that add up parts of K: zero when a kernel takes them and when it is through with them.

So nobody has to clear them at each call, which would be a launch of its own. Kernels of one stream come one after another and
share theirs. Those of a CUDA graph may run beside any others, whenever it is replayed: each of them gets its own, for ever.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qprobe.kernels.cuda import driver

LEAST = 256
"""K is cut only where tiles are fewer than multiprocessors."""
FOR_GRAPHS = 2**18
"""For some two thousand kernels in graphs, which are never taken back: nobody says when a graph is no more."""

_of_stream: dict[tuple[torch.device, int], Tensor] = {}
_for_graphs: dict[torch.device, Tensor] = {}
"""Those that no graph has yet."""
_kept: list[Tensor] = []
"""The memory of all that graphs have."""


def lend(count: int, device: torch.device) -> Tensor:
    """So many counters or more, int32, for one launch on the current stream of the device."""
    current, index = driver.current(), device.index or 0
    if current.is_capturing():
        return _give_away(count, device)
    key = device, current.find_stream(index)
    found = _of_stream.get(key)
    if found is None or len(found) < count:
        found = _of_stream[key] = _make(max(count, LEAST), device)
    # Nothing can be made in a graph, but each kernel runs before it is captured.
    free = _for_graphs.get(device)
    if free is None or len(free) < FOR_GRAPHS // 2:
        made = _for_graphs[device] = _make(FOR_GRAPHS, device)
        _kept.append(made)
        current.synchronize(index)  # Whatever stream the graph is replayed on, they are zero.
    return found


def _give_away(count: int, device: torch.device) -> Tensor:
    """Of a graph's own; where there are too few, the graph clears some at each replay."""
    free = _for_graphs.get(device)
    if free is None or len(free) < count:
        return _make(count, device)
    _for_graphs[device] = free[count:]
    return free[:count]


def _make(count: int, device: torch.device) -> Tensor:
    return torch.zeros(count, dtype=torch.int32, device=device)


def forget() -> None:
    """Let go of all of them: the cards are others now, and there is no graph."""
    _of_stream.clear()
    _for_graphs.clear()
    _kept.clear()
