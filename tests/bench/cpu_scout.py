"""Tries every row of a shape alone, a process per source: what crashes, hangs or errs is found there.

`python -m tests.bench.cpu_scout` is that process: one request as JSON on stdin, answers in lines.
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from qprobe.timing.allocator import keep_freed_memory
from tests.bench.cpu_data import LIMITS, Inputs, make_inputs, make_linear
from tests.bench.cpu_rows import Row, rows_of
from tests.bench.peers._peer import Call
from tests.bench.scouting import (
    MAKE_S,
    RUN_S,
    Pair,
    Scouted,
    describe_error,
    scout_in_processes,
    tell_done,
    tell_trying,
)

HOPELESS_S = 6.0
"""A call that is expected to take longer is not tried."""
QUICK_S = 0.2
"""A call this quick is tried again, warm; the fastest call counts."""
MOST_CALLS = 30


def scout(
    source: str, rows: Sequence[Row], n: int, k: int, ms: Sequence[int]
) -> dict[Pair, Scouted]:
    """Try the rows of one source at each M; (key, M) → what came of it."""
    pairs = [(row, m) for row in rows for m in sorted(ms)]
    absent = {
        (row.key, m): Scouted("absent", row.objection(m)) for row, m in pairs if row.objection(m)
    }
    wanted = [(row.key, m) for row, m in pairs if not row.objection(m)]
    request = {"source": source, "n": n, "k": k}
    return absent | scout_in_processes("tests.bench.cpu_scout", request, wanted)


def main() -> None:
    """Answer one request: {source, n, k, wanted: [[key, M], …]}."""
    request = json.loads(sys.stdin.readline())
    warnings.simplefilter("ignore")
    keep_freed_memory()
    n, k = request["n"], request["k"]
    linear = make_linear(n, k, seed=0)
    wanted = {(key, m) for key, m in request["wanted"]}
    inputs = {m: make_inputs(linear, m) for m in sorted({m for _, m in wanted})}
    for row in rows_of(request["source"], n, k, sorted(inputs)):
        mine = {m: inputs[m] for m in inputs if (row.key, m) in wanted}
        if mine:
            for m, scouted in _try_row(row, linear, mine):
                tell_done(row.key, m, scouted)


def _try_row(
    row: Row, linear: nn.Linear, inputs: Mapping[int, Inputs]
) -> Iterator[tuple[int, Scouted]]:
    tell_trying(row.key, min(inputs), MAKE_S)
    try:
        call = row.make(linear)
    except Exception as error:  # A package may raise anything: it is the reason.
        yield from ((m, Scouted("failed", describe_error(error))) for m in inputs)
        return
    expected_s = 0.0
    for m, data in inputs.items():
        if expected_s * m > HOPELESS_S:
            yield m, Scouted("slow", f"a call would take some {expected_s * m:.0f} s")
            continue
        tell_trying(row.key, m, RUN_S)
        scouted = _try_call(row, call, data)
        if scouted.seconds is not None:
            expected_s = scouted.seconds / m if m > 1 else 0.0
        yield m, scouted


def _try_call(row: Row, call: Call, data: Inputs) -> Scouted:
    x = data.xs[0].to(row.dtype)
    try:
        with torch.no_grad():
            y, seconds = _timed(call, x)
            if seconds < QUICK_S:
                calls = max(5, min(MOST_CALLS, int(QUICK_S / seconds)))
                seconds = min(_timed(call, x)[1] for _ in range(calls))
    except Exception as raised:  # As above.
        return Scouted("failed", describe_error(raised))
    expected = (len(x), data.exact.shape[-1])
    if not isinstance(y, torch.Tensor) or y.shape != expected:
        found = tuple(y.shape) if isinstance(y, torch.Tensor) else type(y).__name__
        return Scouted("wrong", f"gives {found}, not {expected}")
    error = data.error(y)
    if error > LIMITS[row.bits]:
        reason = f"wrong numbers: relative error {error:.2g}, {LIMITS[row.bits]:g} allowed"
        return Scouted("wrong", reason, error if math.isfinite(error) else None)
    return Scouted("timed", "", error, seconds)


def _timed(call: Call, x: torch.Tensor) -> tuple[torch.Tensor, float]:
    start = time.perf_counter()
    y = call(x)
    return y, time.perf_counter() - start


if __name__ == "__main__":
    main()
