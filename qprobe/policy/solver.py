"""Picks one item for each group: the least sum of goals such that sums of loads stay in limits."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GAP = 1e-4
"""The solution is this close to the best possible, relative."""
NODES = 5000
"""Ends the search the same way on every machine, as a time limit would not."""
SLACK = 1e-9
"""Sums of floats may exceed a limit by their own rounding."""
TIGHTENING = 1e-4
"""Takes up the solver's tolerance, where an answer turns out to exceed a limit by it."""

_redirecting = threading.Lock()

Picks = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One choice for a group: what it adds to the goal and to each limited sum."""

    goal: float
    loads: tuple[float, ...]


def fits(loads: Sequence[float], limits: Sequence[float]) -> bool:
    """Whether sums are within limits; an infinite limit allows everything."""
    return all(load <= limit * (1 + SLACK) for load, limit in zip(loads, limits, strict=True))


def minimise(groups: Sequence[Sequence[Item]], limits: Sequence[float]) -> Picks | None:
    """The index of the chosen item in each group, or None where nothing fits.

    Of items that are equal, the first in its group is chosen; the answer is within `GAP` of the best.
    """
    if any(not items for items in groups):
        return None
    kept = [_undominated(items) for items in groups]
    best = _each_least(groups, kept)
    if fits(_loads(groups, best), limits):
        return best
    kept = _possible(groups, kept, limits)
    if any(not indices for indices in kept):
        return None
    for room in (1.0, 1.0 - TIGHTENING):
        found = _milp(groups, kept, limits, room)
        if found and fits(_loads(groups, found), limits):
            return found
    # The solver's tolerance hides plans that meet a limit exactly: those with the least of a load are such.
    least = [_least_load(groups, limits, index) for index in range(len(limits))]
    good = [picks for picks in least if picks and fits(_loads(groups, picks), limits)]
    return min(good, key=lambda picks: _goal(groups, picks), default=None)


def _goal(groups: Sequence[Sequence[Item]], picks: Picks) -> float:
    return math.fsum(items[pick].goal for items, pick in zip(groups, picks, strict=True))


def _loads(groups: Sequence[Sequence[Item]], picks: Picks) -> list[float]:
    chosen = [items[pick].loads for items, pick in zip(groups, picks, strict=True)]
    return [math.fsum(column) for column in zip(*chosen, strict=True)]


def _undominated(items: Sequence[Item]) -> list[int]:
    """The items that are better than every other in the goal or in some load."""
    kept: list[int] = []
    for index in sorted(range(len(items)), key=lambda i: (items[i].goal, items[i].loads, i)):
        loads = items[index].loads
        if not any(
            all(a <= b for a, b in zip(items[better].loads, loads, strict=True)) for better in kept
        ):
            kept.append(index)
    return kept


def _each_least(groups: Sequence[Sequence[Item]], kept: Sequence[Sequence[int]]) -> Picks:
    return tuple(
        min(indices, key=lambda i: (items[i].goal, items[i].loads, i))
        for items, indices in zip(groups, kept, strict=True)
    )


def _least_load(
    groups: Sequence[Sequence[Item]], limits: Sequence[float], load: int
) -> Picks | None:
    """The least of one load within the limits of the others."""
    if math.isinf(limits[load]):
        return None
    freed = [math.inf if index == load else limit for index, limit in enumerate(limits)]
    return minimise([[Item(i.loads[load], i.loads) for i in items] for items in groups], freed)


def _possible(
    groups: Sequence[Sequence[Item]], kept: Sequence[Sequence[int]], limits: Sequence[float]
) -> list[list[int]]:
    """Drop what exceeds a limit even when every other group takes its least."""
    remaining = [list(indices) for indices in kept]
    for index, limit in enumerate(limits):
        least = [
            min((items[i].loads[index] for i in indices), default=0.0)
            for items, indices in zip(groups, kept, strict=True)
        ]
        room = limit * (1 + SLACK) - math.fsum(least)
        for items, indices, floor in zip(groups, remaining, least, strict=True):
            indices[:] = [i for i in indices if items[i].loads[index] - floor <= room]
    return remaining


def _milp(
    groups: Sequence[Sequence[Item]],
    kept: Sequence[Sequence[int]],
    limits: Sequence[float],
    room: float,
) -> Picks | None:
    """Solve with `room` of what the least loads leave of each limit; rows are scaled to 1."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    owner = np.array([g for g, indices in enumerate(kept) for _ in indices])
    items = [groups[g][i] for g, indices in enumerate(kept) for i in indices]
    columns = np.arange(len(items))
    one_each = csr_array((np.ones(len(items)), (owner, columns)), shape=(len(groups), len(items)))
    constraints = [LinearConstraint(one_each, 1, 1)]
    for index, limit in enumerate(limits):
        loads, least = _above_least(np.array([item.loads[index] for item in items]), owner)
        left = limit - least
        if math.isfinite(limit) and left > 0:
            constraints.append(LinearConstraint((loads / left)[None, :], -np.inf, room))
    goals = np.array([item.goal for item in items])
    with _stdout_to_stderr():
        solved = milp(
            goals / (goals.mean() or 1.0),
            constraints=constraints,
            integrality=np.ones(len(items)),
            bounds=Bounds(0, 1),
            # Presolve finds nothing here and takes 30 times as long as the solution.
            options={"mip_rel_gap": GAP, "node_limit": NODES, "presolve": False},
        )
    if solved.x is None:
        return None
    picks = [0] * len(groups)
    for column in np.flatnonzero(solved.x > 0.5):
        group = int(owner[column])
        offset = int(column) - int(np.searchsorted(owner, group))
        picks[group] = kept[group][offset]
    return tuple(picks)


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """HiGHS tells of some of its steps on the process's stdout, whatever it is asked: an answer goes there."""
    with _redirecting, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # either may be closed
            kept = os.dup(1)
            stack.callback(os.close, kept)
            _flush()
            os.dup2(2, 1)
            stack.callback(os.dup2, kept, 1)
            stack.callback(_flush)
        yield


def _flush() -> None:
    """What C has kept of its stdout."""
    ctypes.CDLL(None).fflush(None)


def _above_least(
    values: NDArray[np.float64], owner: NDArray[np.int64]
) -> tuple[NDArray[np.float64], float]:
    """Each value less the least of its group, and the sum of those."""
    least = np.full(int(owner.max()) + 1, np.inf)
    np.minimum.at(least, owner, values)
    return values - least[owner], math.fsum(least)
