"""Times a shape: what is fast enough of every source, all in turn in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from qprobe.timing.interleave import Task, time_interleaved
from qprobe.timing.samples import Samples
from tests.bench.cpu_data import count_copies, draw_rows, make_inputs, make_linear
from tests.bench.cpu_report import CellResult, RowResult
from tests.bench.cpu_rows import Row, all_rows
from tests.bench.cpu_scout import scout
from tests.bench.peers._peer import Call
from tests.bench.scouting import Pair, Scouted, describe_error

CLOSE = 1.6
"""What takes this many times as long as the best of its kind, tried alone, is not timed in turn."""
MIN_SAMPLES, MAX_SAMPLES = 7, 51
SLOW_S = 0.5
"""Calls this long that are dominated get few samples."""
Tell = Callable[[str], None]


def measure_shape(
    n: int, k: int, ms: Sequence[int], budget_s: float, only: Sequence[str], tell: Tell
) -> list[CellResult]:
    """Every row at every M: tried alone in another process, then the contenders in turn here."""
    rows = all_rows(n, k, ms, only)
    scouted: dict[Pair, Scouted] = {}
    for source in dict.fromkeys(row.source for row in rows):
        start = time.perf_counter()
        mine = [row for row in rows if row.source == source]
        scouted |= scout(source, mine, n, k, ms)
        tell(f"tried {source} in {time.perf_counter() - start:.0f} s")
    contenders = {m: find_contenders(rows, scouted, m) for m in ms}
    start = time.perf_counter()
    layers, failed = _build(contenders, n, k)
    tell(f"built {sum(map(len, layers.values()))} layers in {time.perf_counter() - start:.0f} s")
    cells = []
    for m in ms:
        start = time.perf_counter()
        racing = [row for row in contenders[m] if row.key in layers]
        timed = _time(racing, layers, scouted, n, k, m, budget_s)
        results = tuple(_result(row, scouted[row.key, m], timed, failed) for row in rows)
        cells.append(CellResult(k=k, n=n, m=m, rows=results))
        tell(f"timed {len(racing)} rows at M = {m} in {time.perf_counter() - start:.0f} s")
    return cells


def find_contenders(rows: Sequence[Row], scouted: Mapping[Pair, Scouted], m: int) -> list[Row]:
    """The rows near the best of their kind and bits at M, and `F.linear`."""
    alone: dict[Row, float] = {}
    for row in rows:
        found = scouted[row.key, m]
        if found.status == "timed" and found.seconds is not None:
            alone[row] = found.seconds
    best: dict[tuple[str, int], float] = {}
    for row, seconds in alone.items():
        group = (row.kind, row.bits)
        best[group] = min(seconds, best.get(group, seconds))
    return [
        row
        for row, seconds in alone.items()
        if row.is_anchor or seconds <= CLOSE * best[row.kind, row.bits]
    ]


def _build(
    contenders: Mapping[int, Sequence[Row]], n: int, k: int
) -> tuple[dict[str, list[Call]], dict[str, str]]:
    """Copies of every contender, as many as the smallest M that it is timed at needs."""
    needed: dict[Row, int] = {}
    for m, rows in contenders.items():
        for row in rows:
            needed[row] = max(needed.get(row, 0), count_copies(n, k, row.bits, m))
    sources = max((count_copies(n, k, 32, m) for m in contenders), default=0)
    linears = [make_linear(n, k, seed) for seed in range(sources)]
    layers: dict[str, list[Call]] = {}
    failed: dict[str, str] = {}
    x = draw_rows(1, k, seed=0)
    for row, count in needed.items():
        try:
            made = [row.make(linears[i % len(linears)]) for i in range(count)]
            with torch.no_grad():
                for call in made:
                    call(x.to(row.dtype))  # Some packages pack at the first call.
        except Exception as error:  # It worked in a process of its own: say that it does not here.
            failed[row.key] = describe_error(error)
        else:
            layers[row.key] = made
    return layers, failed


def _time(
    rows: Sequence[Row],
    layers: Mapping[str, list[Call]],
    scouted: Mapping[Pair, Scouted],
    n: int,
    k: int,
    m: int,
    budget_s: float,
) -> dict[str, Samples]:
    if not rows:
        return {}
    inputs = make_inputs(make_linear(n, k, 0), m).xs
    by_dtype = {dtype: [x.to(dtype) for x in inputs] for dtype in {row.dtype for row in rows}}
    tasks: dict[str, Task] = {}
    with torch.no_grad():
        for row in rows:
            copies = layers[row.key][: count_copies(n, k, row.bits, m)]
            is_slow = (scouted[row.key, m].seconds or 0.0) > SLOW_S
            tasks[row.key] = _task(row, copies, by_dtype[row.dtype], is_slow)
            if row.settle_s:
                tasks[f"after {row.key}"] = Task(
                    _wait(row.settle_s), is_rival=False, shortest_s=0.0
                )
        # Once: a disturbance widens the intervals of the pairs, and the time that it takes is known.
        return time_interleaved(
            tasks, budget_s=budget_s, min_samples=MIN_SAMPLES, max_samples=MAX_SAMPLES
        )


def _task(row: Row, copies: Sequence[Call], xs: Sequence[Tensor], is_slow: bool) -> Task:
    count = len(copies)

    def run(counter: int) -> None:
        copies[counter % count](xs[counter % 2])

    prepare = None if not row.settle_s else partial(time.sleep, row.settle_s)
    # The slow ones are in a race that drops them; the others are all compared with one another.
    return Task(run, prepare, is_rival=is_slow, warm_up=count)


def _wait(seconds: float) -> Callable[[int], None]:
    """What lets the threads of the row before it come to rest."""
    return lambda _: time.sleep(seconds)


def _result(
    row: Row, scouted: Scouted, timed: Mapping[str, Samples], failed: Mapping[str, str]
) -> RowResult:
    status, reason = scouted.status, scouted.reason
    samples = timed.get(row.key)
    if row.key in failed:
        status, reason = "failed", f"beside the others: {failed[row.key]}"
    elif status == "timed" and samples is None:
        status, reason = "slow", "far from the best of its kind"
    return RowResult(
        kind=row.kind,
        source=row.source,
        label=row.label,
        bits=row.bits,
        dtype=str(row.dtype)[6:],
        status=status,
        reason=reason,
        error=scouted.error,
        alone_s=scouted.seconds,
        seconds=() if samples is None else tuple(float(f"{s:.5g}") for s in samples.seconds),
    )
