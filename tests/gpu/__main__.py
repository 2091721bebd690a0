"""`make gpu`: the tests that need a card, then the benchmark, within eight minutes; fails without a card.

Uses the Python that runs it, no network and no environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from qprobe.kernels import gpus
from qprobe.kernels.cuda import driver

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 480.0
TESTS_S = 270.0
RESERVE_S = 45.0
"""Of the benchmark, for the cell that it has begun when its time is up, and for writing."""
TESTS = (
    "-m", "pytest", "-q", "tests/gpu", "-W", "default", "--maxfail", "25", "--durations", "10",
    "-m", "not slow",
)  # fmt: skip


def main() -> int:
    """The exit status: 0 only if all tests passed and something was measured."""
    start = time.monotonic()
    if words := gpus.no_gpu() or driver.current().find_obstacle():
        print(f"nothing was tested and nothing was measured: {words}")
        return 1
    print(", ".join(f"{card.name} ({card.capability})" for card in driver.current().cards()))
    tests = _run(TESTS, TESTS_S)
    left = LIMIT_S - RESERVE_S - (time.monotonic() - start)
    bench = _run(("-m", "tests.bench.gpu", "--seconds", f"{max(left, 30.0):.0f}"), left + RESERVE_S)
    print(f"tests: {_word(tests)}; benchmark: {_word(bench)}; {time.monotonic() - start:.0f} s")
    return 0 if tests == bench == 0 else 1


def _run(arguments: tuple[str, ...], limit_s: float) -> int:
    try:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, check=False, timeout=max(limit_s, 30.0)).returncode
    except subprocess.TimeoutExpired:
        print(f"{' '.join(arguments[:2])} was ended after {limit_s:.0f} s")
        return 124


def _word(status: int) -> str:
    return "passed" if status == 0 else f"failed ({status})"


if __name__ == "__main__":
    sys.exit(main())
