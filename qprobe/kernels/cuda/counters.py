"""Counters for blocks that add up parts of K: zero when a kernel takes them and when it is through with them.

So nobody has to clear them at each call, which would be a launch of its own. Kernels of one stream come one after another and
share theirs. Those of a CUDA graph may run beside any others, whenever it is replayed: each of them gets its own, for ever.
"""

from __future__ import annotations

from threading import Lock, get_ident

import torch
from torch import Tensor

from qprobe.kernels.cuda import driver

LEAST = 256
"""K is cut only where tiles are fewer than multiprocessors."""
FOR_GRAPHS = 2**18
"""For some two thousand kernels in graphs, which are never taken back: nobody says when a graph is no more."""

PER_THREAD = 2
"""CUDA's name for a stream that is another in each thread."""

_of_stream: dict[tuple[int, int, int], tuple[Tensor, int]] = {}
"""Card, stream and, where it takes that to tell, thread → counters, and how many: the length of a tensor takes long to find."""
_for_graphs: dict[int, Tensor] = {}
"""Card → those that neither a graph nor a stream has yet."""
_ample: set[int] = set()
"""Cards with enough of those."""
_kept: list[Tensor] = []
"""The memory of all that graphs have."""
_one_at_a_time = Lock()
"""Of threads that take some of those for themselves."""


def lend(count: int, device: torch.device) -> Tensor:
    """So many counters or more, int32, for one launch on the current stream of the device."""
    current, index = driver.current(), device.index or 0
    if current.is_capturing():
        with _one_at_a_time:
            return _give_away(count, device, index)
    if index not in _ample:
        provide(index)
    stream = current.find_stream(index)
    key = index, stream, get_ident() if stream == PER_THREAD else 0
    found = _of_stream.get(key)
    if found is None or found[1] < count:
        size = max(count, LEAST)
        with _one_at_a_time:
            # A first call may be of torch's compiler before it captures: what is made then is the graph's, and not kept.
            found = _of_stream[key] = _give_away(size, device, index), size
    return found[0]


def provide(index: int) -> None:
    """Have enough for graphs and streams on a card: nothing can be made within one. Waits for the card when some are made."""
    with _one_at_a_time:
        if index in _ample:
            return
        current = driver.current()
        made = _for_graphs[index] = _make(FOR_GRAPHS, current.find_device(index))
        _kept.append(made)
        current.synchronize(index)  # Whatever stream a graph is replayed on, they are zero.
        _ample.add(index)


def _give_away(count: int, device: torch.device, index: int) -> Tensor:
    """Somebody's own; where there are too few, a graph clears some at each replay."""
    free = _for_graphs.get(index)
    if free is None or len(free) < count:
        return _make(count, device)
    left = _for_graphs[index] = free[count:]
    if len(left) < FOR_GRAPHS // 2:
        _ample.discard(index)
    return free[:count]


def _make(count: int, device: torch.device) -> Tensor:
    return torch.zeros(count, dtype=torch.int32, device=device)


def forget() -> None:
    """Let go of all of them: the cards are others now, and there is no graph."""
    _of_stream.clear()
    _for_graphs.clear()
    _ample.clear()
    _kept.clear()
