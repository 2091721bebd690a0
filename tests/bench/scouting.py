"""Tries things in processes of their own until something is known of each, be it how it died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.cpu_report import Status
from tests.bench.worker import Worker, answer

START_S, MAKE_S, RUN_S = 180.0, 120.0, 30.0
"""How long it may take to start, to make what is tried, and to run it."""
Pair = tuple[str, int]
"""A row's key, and its M (or the number of a request)."""


@dataclass(frozen=True)
class Scouted:
    """What came of trying a row; `timed` says that it may be."""

    status: Status
    reason: str = ""
    error: float | None = None
    seconds: float | None = None


def scout_in_processes(
    module: str, request: Mapping[str, Any], wanted: Sequence[Pair]
) -> dict[Pair, Scouted]:
    """Run `module`, a worker that tries pairs in their order, once more for each that kills it."""
    found: dict[Pair, Scouted] = {}
    while missing := [pair for pair in wanted if pair not in found]:
        found |= _run_worker(module, {**request, "wanted": missing}, missing)
    return found


def tell_trying(key: str, number: int, limit_s: float) -> None:
    """What a worker says before each step that may take up to `limit_s`."""
    answer({"key": key, "number": number, "limit_s": limit_s})


def tell_done(key: str, number: int, scouted: Scouted) -> None:
    """What a worker says of each pair."""
    answer({"key": key, "number": number, "limit_s": START_S, "done": vars(scouted)})


def describe_error(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def _run_worker(
    module: str, request: Mapping[str, Any], missing: Sequence[Pair]
) -> dict[Pair, Scouted]:
    """What one process tells of the missing pairs: of one of them at least, be it that it died."""
    found: dict[Pair, Scouted] = {}
    trying, limit_s = missing[0], START_S
    with Worker(module, request) as worker:
        while (line := worker.read(limit_s)) is not None:
            trying, limit_s = (line["key"], line["number"]), line["limit_s"]
            if "done" in line:
                found[trying] = Scouted(**line["done"])
        why = worker.epitaph
        is_slow = worker.timed_out_s is not None
    if not why:
        lost = Scouted("failed", "the process ended without an answer")
        return dict.fromkeys(missing, lost) | found
    left = [pair for pair in missing if pair not in found]
    if not left:
        return found  # It died while it was ending.
    key, number = guilty = trying if trying in left else left[0]
    found[guilty] = Scouted("slow" if is_slow else "failed", why)
    if is_slow:
        larger = [pair for pair in left if pair[0] == key and pair[1] > number]
        found |= dict.fromkeys(larger, Scouted("slow", f"{why} before"))
    return found
