"""Seconds of a fusion group over the request, and the kernel for each range of M."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qprobe.documents.base import FloatDtype, Quantity
from qprobe.documents.model import Linear
from qprobe.documents.objective import Objective
from qprobe.documents.plan import KernelRange
from qprobe.documents.profile import REFERENCE, Profile, Shape
from qprobe.documents.turns import most_rows
from qprobe.policy.cells import Cells, Unavailable
from qprobe.policy.quantities import NOTHING, add, comparable


@dataclass(frozen=True, slots=True)
class GroupTime:
    """What a group costs in a request, and through which kernels."""

    kernels: tuple[KernelRange, ...]
    rows: tuple[int, ...]
    """The M of the request: of the prefill and, where tokens are generated, of decoding."""
    prefill: Quantity
    decode: Quantity
    """Of one token; nothing where none is generated."""
    request: Quantity
    launches_s: float
    """Of the request's calls: a call in a model and one by itself may differ by as much as starting it takes."""

    @property
    def used(self) -> tuple[str, ...]:
        """The kernels that the request runs through, each once."""
        names = (
            next(r.kernel for r in self.kernels if r.m_max is None or m <= r.m_max)
            for m in self.rows
        )
        return tuple(dict.fromkeys(names))


class GroupClock:
    """Predicts groups on one profile."""

    def __init__(self, profile: Profile, objective: Objective) -> None:
        """Index the profile for requests of the objective."""
        is_eager = objective.launch == "eager"
        launch_s = profile.launch_s if is_eager else profile.graph_launch_s or 0.0
        self._cells = Cells(profile, launch_s, is_eager=is_eager)
        self._launch_s = launch_s
        self._objective = objective
        self._facts = profile.kernel_facts()

    def time(
        self,
        members: Sequence[Linear],
        scheme: str,
        kernels: tuple[str, ...],
        dtype: FloatDtype,
    ) -> GroupTime | Unavailable:
        """Time a group whose members read the same input, so that they have the same M."""
        first, shapes = members[0], tuple((member.n, member.k) for member in members)
        objective = self._objective
        passes = [(first.m(objective.batch, objective.prompt), objective.prompt)]
        if objective.generate:
            passes.append((first.m(objective.batch, 1, past=objective.past), 1))
        rows = tuple(dict.fromkeys(m for m, _ in passes if m))
        measured = {k: self._cells.rows(scheme, (k,), dtype, shapes) for k in kernels}
        tried = [k for k in kernels if measured[k]]
        meant = self._take_turns(tried or [k for k in kernels if not self._facts[k].unproven])
        winners: dict[int, tuple[str, Quantity]] = {}
        for m in sorted(set(rows).union(*measured.values())):
            timed, refused = self._race(shapes, scheme, kernels, dtype, m)
            if timed:
                winners[m] = _best(timed, meant, m)
            elif m in rows:
                return Unavailable(tuple(refused))
        # Where nothing was measured, what was measured elsewhere takes turns, or anything if nothing was.
        ends = [*meant.values(), *(self._facts[k].max_rows for k in meant)]
        for m in _turning_points(ends, {m: k for m, (k, _) in winners.items()}, is_open=not tried):
            able = [
                kernel
                for kernel, most in meant.items()
                if _is_for(m, most, measured[kernel])
                and all(
                    self._cells.reaches(scheme, kernel, dtype, Shape(m=m, n=n, k=k))
                    for n, k in shapes
                )
            ]
            if timed := self._race(shapes, scheme, able, dtype, m)[0]:
                winners[m] = _best(timed, meant, m)
        calls = [first.calls(objective.batch, tokens) if m else 0 for m, tokens in passes]
        times = [
            _times(count, winners[m][1]) if m else NOTHING
            for count, (m, _) in zip(calls, passes, strict=True)
        ]
        prefill, decode = times[0], times[1] if objective.generate else NOTHING
        return GroupTime(
            kernels=_ranges({m: kernel for m, (kernel, _) in winners.items()}),
            rows=rows,
            prefill=prefill,
            decode=decode,
            request=add([(1, prefill), (objective.generate, decode)]),
            launches_s=self._launch_s
            * len(shapes)
            * sum(
                times * count for times, count in zip((1, objective.generate), calls, strict=False)
            ),
        )

    def _take_turns(self, kernels: Collection[str]) -> dict[str, int | None]:
        """Kernel → the largest M that it is for, beside the others of them; the best first."""
        turns = [fact for fact in self._facts.values() if fact.kernel in kernels]
        return {fact.kernel: most for fact, most in zip(turns, most_rows(turns), strict=True)}

    def _race(
        self,
        shapes: tuple[tuple[int, int], ...],
        scheme: str,
        kernels: Iterable[str],
        dtype: FloatDtype,
        m: int,
    ) -> tuple[dict[str, Quantity], list[str]]:
        """Each kernel's time for the whole group at one M, and why others cannot."""
        timed: dict[str, Quantity] = {}
        refused: list[str] = []
        for kernel in kernels:
            parts: list[tuple[int, Quantity]] = []
            for index, (n, k) in enumerate(shapes):
                shape = Shape(m=m, n=n, k=k)
                found = self._cells.seconds(scheme, kernel, dtype, shape, shared_input=index > 0)
                if isinstance(found, Unavailable):
                    refused += [f"{kernel}: {reason}" for reason in found.reasons]
                    break
                parts.append((1, found))
            else:
                timed[kernel] = add(parts)
        return timed, refused


def _times(calls: int, time: Quantity) -> Quantity:
    return time if calls == 1 else add([(calls, time)])


def _is_for(m: int, most: int | None, measured: set[int]) -> bool:
    """Whether a kernel is for so many rows, or was measured for fewer and for more."""
    return most is None or m <= most or min(measured, default=m) < m < max(measured, default=m)


def _best(
    timed: dict[str, Quantity], meant: Mapping[str, int | None], m: int
) -> tuple[str, Quantity]:
    """The fastest; where the roofline cannot tell, the reference, then as kernels take turns without a plan."""
    beside_measured = any(time.provenance != "modelled" for time in timed.values())

    places = [*meant, *timed]

    def rank(kernel: str) -> tuple[float, bool, bool, float, int]:
        most = math.inf if (rows := meant.get(kernel)) is None else rows
        seconds = comparable(timed[kernel], beside_measured=beside_measured)
        return seconds, kernel != REFERENCE, m > most, most, places.index(kernel)

    best = min(timed, key=rank)
    return best, timed[best]


def _turning_points(
    ends: Iterable[int | None], winners: Mapping[int, str], *, is_open: bool
) -> Iterator[int]:
    """The M around the ends of turns: between two kernels that win, and beyond the last.

    `is_open`: before the first as well.
    """
    turns = {m for end in ends if end for m in (end, end + 1)}
    for m in sorted(turns - winners.keys()):
        before = max((known for known in winners if known < m), default=None)
        after = min((known for known in winners if known > m), default=None)
        if before is None:
            if is_open:
                yield m
        elif after is None or winners[before] != winners[after]:
            yield m


def _ranges(winners: Mapping[int, str]) -> tuple[KernelRange, ...]:
    """From 1 to open; two neighbours meet at the geometric mean of the M where each won."""
    rows = sorted(winners)
    ends = [
        (math.isqrt(m * following), winners[m])
        for m, following in pairwise(rows)
        if winners[m] != winners[following]
    ]
    starts = [1, *(end + 1 for end, _ in ends)]
    lasts = [*ends, (None, winners[rows[-1]])]
    return tuple(
        KernelRange(kernel=kernel, m_min=start, m_max=end)
        for start, (end, kernel) in zip(starts, lasts, strict=True)
    )
