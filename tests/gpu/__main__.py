"""`make gpu`: the tests that need a card, then the benchmark, within eight minutes; fails without a card.

Uses the Python that runs it, no network and no environment of its own. Kernels are compiled first, into a cache of its
own that all parts share: build/gpu. Then each is tried once: one that brings the card down spoils nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from qprobe.kernels import gpus
from qprobe.kernels.cuda import driver
from tests.gpu.parts import GRACE_S, Outcome, run_part

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "gpu"
LIMIT_S = 480.0
RESERVE_S = 20.0
"""For starting and ending."""
COMPILING_S, TRIAL_S = 60.0, 55.0
LEAST_TESTS_S, LEAST_BENCHMARK_S = 180.0, 120.0
"""They have what the parts before leave, which is never less where the whole time is given."""
LEAST_S = 400.0
"""The least that may be given: with less, parts that take their time leave none to those behind them."""
LAST_CELL_S = 45.0
"""Of the benchmark, for the cell that it has begun when it is to begin no more, and for writing."""
COMPILING = ("-m", "tests.gpu.compiling")
TRIAL = ("-m", "tests.gpu.trial")
TESTS = (
    "-m", "pytest", "-q", "tests/gpu", "-W", "default", "--maxfail", "25", "--durations", "10",
    "-m", "not slow",
)  # fmt: skip
BENCHMARK = ("-m", "tests.bench.gpu", "--seconds")


def main(arguments: Sequence[str] = ()) -> int:
    """The exit status: 0 only if all tests passed and something was measured, in time."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument(
        "--seconds",
        type=float,
        default=LIMIT_S,
        help="for all parts together; default: %(default)s",
    )
    limit_s = parser.parse_args(arguments).seconds
    if not LEAST_S <= limit_s <= LIMIT_S:
        parser.error(f"--seconds {limit_s:g}: it takes from {LEAST_S:g} to {LIMIT_S:g}")
    start = time.monotonic()
    if words := gpus.no_gpu() or driver.current().find_obstacle():
        print(f"nothing was tested and nothing was measured: {words}")
        return 1
    print(", ".join(f"{card.name} ({card.capability})" for card in driver.current().cards()))
    os.environ["QPROBE_CACHE"] = str(CACHE)
    outcomes = [
        run_part("compiling", COMPILING, COMPILING_S, ROOT),
        run_part("trial", TRIAL, TRIAL_S, ROOT),
    ]
    left = limit_s - RESERVE_S - 2 * GRACE_S - (time.monotonic() - start)
    outcomes.append(run_part("tests", TESTS, left - LEAST_BENCHMARK_S, ROOT))
    left = limit_s - RESERVE_S - GRACE_S - (time.monotonic() - start)
    benchmark = (*BENCHMARK, f"{left - LAST_CELL_S:.0f}")
    outcomes.append(run_part("benchmark", benchmark, left, ROOT))
    print(summarize(outcomes, time.monotonic() - start))
    return 0 if all(outcome.status == 0 for outcome in outcomes) else 1


def summarize(outcomes: list[Outcome], seconds: float) -> str:
    """One line: what became of each part, and how long it took."""
    return "; ".join([*(outcome.words for outcome in outcomes), f"{seconds:.0f} s in all"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
