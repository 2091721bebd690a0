"""One method by its own library, as somebody would try it who knows that: lines of JSON.

`python -m tests.bench.doctor_by_hand METHOD DTYPE M,M… BITS STEP…`. Shares no code with the doctor: the layers are
made in `by_hand/`, errors are those of the given weight, and times are taken in a rotation over as many
layers as no cache holds, first of the one kind, then of the other. A STEP is named as the doctor names it.
What is printed before a process dies is known all the same.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import cycle

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.bench.by_hand._hand import Call, Hand, all_hands
from tests.bench.by_hand._peft import MERGES, merge_error

SIDE = 2048
CACHES_BYTES = 2**26
"""More than the caches of the machine hold."""
ROUNDS = 7
WARM_S, BLOCK_S = 0.01, 0.02
REST_S, WAKE_S = 0.05, 0.1
"""For threads of another runtime to come to rest, and for a runtime's own to be awake, each on a processor."""
MOST_MAKING_S = 30.0
"""Layers that take longer to make are fewer: where that leaves them in the caches, they come out too fast."""
FEWEST = 4
LAYER = re.compile(r"(\w+), M = (\d+), N = (\d+), K = (\d+)")
MERGE = re.compile(r"(\w+), merged (before any|after a) forward pass, K = (\d+)")


def make_plain(n: int = SIDE, k: int = SIDE) -> nn.Linear:
    torch.manual_seed(7)
    linear = nn.Linear(k, n).requires_grad_(False).eval()
    nn.init.normal_(linear.weight, std=k**-0.5)
    return linear


def draw(m: int, k: int, outliers: bool) -> Tensor:
    x = torch.randn(m, k)
    if outliers:
        x[:, k // 3] *= 12
    return x


def step_error(method: str, name: str) -> float:
    """‖y−ŷ‖/‖y‖ at a step of the doctor: a layer of a shape, or a merge."""
    if found := MERGE.fullmatch(name):
        dtype, when, k = found.groups()
        linear = make_plain(256, int(k))
        return merge_error(method, linear, getattr(torch, dtype), is_used=when == "after a")
    found = LAYER.fullmatch(name)
    if found is None:
        raise ValueError(f"nobody knows how to do {name!r} by hand")
    dtype, (m, n, k) = found[1], map(int, found.groups()[1:])
    hand, linear = all_hands()[method], make_plain(n, k)
    x = draw(m, k, hand.outliers).to(getattr(torch, dtype))
    exact = functional.linear(x.double(), linear.weight.double(), linear.bias.double())
    return max(_error(run(x), exact) for run in made(hand, linear, x.dtype))


def _error(y: Tensor, exact: Tensor) -> float:
    return float((y.double() - exact).norm() / exact.norm())


def made(hand: Hand, linear: nn.Linear, dtype: torch.dtype) -> list[Call]:
    found = hand.make(linear, dtype)
    return found if isinstance(found, list) else [found]


def try_step(method: str, name: str) -> dict[str, object]:
    """Its error, None where that is no number; or what was raised."""
    try:
        error = step_error(method, name)
    except Exception as raised:  # whatever a library raises is its answer
        return {"step": name, "words": f"{type(raised).__name__}: {raised}"[:200]}
    return {"step": name, "error": error if math.isfinite(error) else None}


def make_copies(make: Callable[[], list[Call]], stored: int) -> list[list[Call]]:
    """As many layers as no cache holds, for each way that there is to compute them."""
    start, copies = time.perf_counter(), [make()]
    while len(copies) * stored < CACHES_BYTES and (
        len(copies) < FEWEST or time.perf_counter() - start < MOST_MAKING_S
    ):
        copies.append(make())
    return [list(way) for way in zip(*copies, strict=True)]


def ratios(
    method: str, dtype: torch.dtype, rows: list[int], bits: int
) -> dict[int, tuple[float, float, float]]:
    """Rows → seconds of the fastest unquantized layer over those of the method's fastest way.

    The median over the rounds, and between what the middle three fifths of them are.
    """
    hand, linear = all_hands()[method], make_plain()
    ways = make_copies(partial(made, hand, linear, dtype), SIDE * SIDE * bits // 8)
    plain = [
        make_copies(partial(_product, linear, kind), SIDE * SIDE * kind.itemsize)[0]
        for kind in (torch.float32, torch.bfloat16)
    ]
    kinds = [dtype] * len(ways) + [torch.float32, torch.bfloat16]
    calls: dict[int, list[cycle[Callable[[], object]]]] = {}
    for m in rows:
        x = draw(m, SIDE, hand.outliers)
        calls[m] = [
            cycle([partial(run, x.to(kind)) for run in layers])
            for layers, kind in zip([*ways, *plain], kinds, strict=True)
        ]
    seconds = take_turns(calls, *((REST_S, WAKE_S) if hand.own_threads else (0.0, WARM_S)))
    return {m: _ratio(taken[: len(ways)], taken[len(ways) :]) for m, taken in seconds.items()}


def _ratio(ours: list[list[float]], plain: list[list[float]]) -> tuple[float, float, float]:
    best, beside = (min(kinds, key=statistics.median) for kinds in (ours, plain))
    found = sorted(above / below for below, above in zip(best, beside, strict=True))
    out = len(found) // 5
    return statistics.median(found), found[out], found[-1 - out]


def _product(linear: nn.Linear, kind: torch.dtype) -> list[Call]:
    weight, bias = (t.to(kind, copy=True) for t in (linear.weight, linear.bias))
    return [lambda x: functional.linear(x, weight, bias)]


def take_turns(
    calls: dict[int, list[cycle[Callable[[], object]]]], rest_s: float, warm_s: float
) -> dict[int, list[list[float]]]:
    """Seconds a call of each in every round, a block of some milliseconds of the one after one of the other.

    Every round goes through all numbers of rows: threads that share a processor for a second spoil few rounds.
    """
    seconds: dict[int, list[list[float]]] = {m: [[] for _ in kinds] for m, kinds in calls.items()}
    for _ in range(ROUNDS):
        for m, kinds in calls.items():
            for rotation, taken in zip(kinds, seconds[m], strict=True):
                time.sleep(rest_s)
                run_for(rotation, warm_s)
                taken.append(run_for(rotation, BLOCK_S))
    return seconds


def run_for(rotation: cycle[Callable[[], object]], least_s: float) -> float:
    """Seconds a call, over as many as take so long."""
    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < least_s:
        next(rotation)()
        count += 1
    return (time.perf_counter() - start) / count


def main(method: str, dtype: str, rows: str, bits: str, *steps: str) -> None:
    """Print each step before and after it is done, then the ratios."""
    warnings.simplefilter("ignore")
    with torch.no_grad():
        for name in steps:
            say({"begin": name})
            say(try_step(method, name))
        if rows and method not in MERGES:
            say({"begin": "timing"})
            kind = getattr(torch, dtype)
            say({"ratios": ratios(method, kind, [int(m) for m in rows.split(",")], int(bits))})


def say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
