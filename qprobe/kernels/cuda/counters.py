"""Counters for blocks that add up parts of K: zero when a kernel takes them and when it is through with them.

So nobody has to clear them at each call, which would be a launch of its own. Kernels of one stream come one after another and
share theirs. Those of a CUDA graph may run beside any others, whenever it is replayed: each of them gets its own, for ever.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qprobe.kernels.cuda import driver

LEAST = 4096
FOR_GRAPHS = 2**18
"""Enough for some thousand kernels in graphs; what comes then is cleared within the graph at each replay."""

_of_stream: dict[tuple[torch.device, int], Tensor] = {}
_for_graphs: dict[torch.device, Tensor] = {}
"""Those that no graph has yet. They are there before a graph can be captured, since each kernel runs before that once."""


def lend(count: int, device: torch.device) -> Tensor:
    """So many counters or more, int32, for one launch on the current stream of the device."""
    current = driver.current()
    if current.is_capturing():
        return _give_away(count, device)
    key = device, current.find_stream(device.index or 0)
    found = _of_stream.get(key)
    if found is None or len(found) < count:
        found = _of_stream[key] = _make(max(count, LEAST), device)
    if device not in _for_graphs:
        _for_graphs[device] = _make(FOR_GRAPHS, device)
    return found


def _give_away(count: int, device: torch.device) -> Tensor:
    free = _for_graphs.get(device)
    if free is None or len(free) < count:
        return _make(count, device)
    _for_graphs[device] = free[count:]
    return free[:count]


def _make(count: int, device: torch.device) -> Tensor:
    return torch.zeros(count, dtype=torch.int32, device=device)


def forget() -> None:
    """Let go of all of them: the cards are others now."""
    _of_stream.clear()
    _for_graphs.clear()
