"""Whatever a method does to its process is a verdict, and the rest of the run is complete."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from qprobe._discover import discover_in
from qprobe.doctor.execution.watch import Limits
from qprobe.doctor.trying import Trying, in_order
from qprobe.documents.finding import Verdict
from tests.doctor.machines import load
from tests.doctor.planted._steps import FIRST, LAST, MIDDLE

PACKAGE = "tests.doctor.planted"
PLANTED = {method.id: method for method in discover_in(PACKAGE, "METHOD")}
LIMITS = Limits(import_s=20, step_s=4, whole_s=60, memory_bytes=600 * 2**20, death_s=2)

EXPECTED = {  # method → verdict, and words of the reason
    "compiles": ("works", "right; it was not timed"),
    "corrupts-results": ("works", "right"),
    "corrupts-stdout": ("works", "right"),
    "dies-by-signal": ("broken", "ends the process by SIGSEGV; right at float32"),
    "eats-memory": ("broken", "takes more than 0.6 GiB of memory"),
    "eats-memory-at-once": ("broken", "MemoryError"),
    "exits": ("broken", "ends the process with status 0"),
    "exits-politely": ("broken", "ends the process with status 1"),
    "hangs": ("broken", "does not end within 4 s"),
    "hangs-deaf": ("broken", "does not end within 4 s"),
    "import-dies": ("broken", "import planted: ends the process by SIGILL"),
    "import-raises": ("broken", "import planted: OSError: libnowhere.so.12"),
    "kills-between": ("broken", "it takes the process that started it along"),
    "kills-starter": ("broken", "takes the process that started it along"),
    "loses-gpu": ("works", "right; it was not timed"),
    "not-finite": ("broken", "relative error not finite"),
    "not-there": ("not_installed", "no-such-distribution not installed"),
    "raises-outside": ("broken", "ends the process with status 1"),
    "refuses": ("unsupported", "igemmlt not available"),
    "right": ("works", "right; it was not timed"),
    "stops-starter": ("broken", "does not end within 4 s, and is not gone when it is killed"),
    "wrong": ("broken", "relative error 1.4, 0.1 explained"),
}


@pytest.fixture(scope="module")
def verdicts():
    """All of them in one run, in order, in the company of each other."""
    with Trying(load("epyc_avx2"), is_full=True, package=PACKAGE, limits=LIMITS) as trying:
        return {m.id: trying.verdict(m, "cpu") for m in in_order(tuple(PLANTED.values()))}


def test_every_planted_method_is_expected():
    assert set(PLANTED) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_what_it_does_is_its_verdict(verdicts, name):
    verdict, words = EXPECTED[name]
    assert verdicts[name].verdict == verdict
    assert words in verdicts[name].why


MIDDLES = sorted(
    set(EXPECTED)
    - {
        "compiles", "corrupts-results", "import-dies", "import-raises", "kills-between", "loses-gpu", "not-there",
        "raises-outside", "refuses",
    }
)  # fmt: skip


@pytest.mark.parametrize("name", MIDDLES)
def test_the_steps_around_the_bad_one_are_run(verdicts, name):
    outcomes = {trial.name: trial.outcome for trial in verdicts[name].trials}
    assert (outcomes[FIRST], outcomes[LAST]) == ("right", "right")
    assert len(verdicts[name].trials) == 3, "each step is told once"
    assert outcomes[MIDDLE] != "right" or verdicts[name].verdict == "works"


def test_what_was_printed_is_no_evidence(verdicts):
    names = {trial.name for verdict in verdicts.values() for trial in verdict.trials}
    assert "made up" not in names


def test_the_last_words_of_what_died_are_kept(verdicts):
    assert "I refuse" in verdicts["exits-politely"].detail
    assert "nobody caught this" in verdicts["raises-outside"].detail


def test_nothing_is_left_running(verdicts):
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            assert b"left-behind" not in path.read_bytes()


def test_a_verdict_says_what_it_rests_on(verdicts):
    for name, verdict in verdicts.items():
        assert verdict.evidence == ("rule" if name == "not-there" else "measured")
        assert verdict.method == name
        assert verdict.device == "cpu"


def test_a_hang_costs_its_limit_and_no_more():
    limits = Limits(import_s=20, step_s=0.5, whole_s=40, memory_bytes=600 * 2**20)
    with Trying(load("epyc_avx2"), is_full=True, package=PACKAGE, limits=limits) as trying:
        trying.verdict(PLANTED["right"], "cpu")  # starts the starter
        start = time.monotonic()
        assert trying.verdict(PLANTED["hangs"], "cpu").verdict == "broken"
    assert time.monotonic() - start < 10


def test_the_whole_time_is_limited_too():
    limits = Limits(import_s=20, step_s=20, whole_s=0.5, memory_bytes=600 * 2**20)
    with Trying(load("epyc_avx2"), is_full=True, package=PACKAGE, limits=limits) as trying:
        verdict = trying.verdict(PLANTED["hangs"], "cpu")
    assert "takes more than 0.5 s in all" in verdict.why


def _compile_within(compile_s: float) -> Verdict:
    """What takes a second to compile, where no step and not the whole may take so long."""
    limits = Limits(20, step_s=0.4, whole_s=0.8, memory_bytes=600 * 2**20, compile_s=compile_s)
    with Trying(load("epyc_avx2"), is_full=True, package=PACKAGE, limits=limits) as trying:
        trying._nursery._extra["PLANTED_COMPILES_S"] = "1.2"
        return trying.verdict(PLANTED["compiles"], "cpu")


def test_what_a_library_compiles_once_may_take_longer_than_all_its_steps():
    assert _compile_within(20).verdict == "works"


def test_what_never_ends_to_compile_is_broken_by_that():
    verdict = _compile_within(0.5)
    assert verdict.verdict == "broken"
    assert "compile planted: does not end within 0.5 s" in verdict.why


def test_without_proc_memory_is_limited_by_the_system_itself(tmp_path):
    slow = replace(LIMITS, step_s=60, whole_s=120)  # a busy machine takes seconds to hand out 1 GB
    with Trying(load("epyc_avx2"), is_full=True, package=PACKAGE, limits=slow) as trying:
        trying._nursery._proc = tmp_path
        verdict = trying.verdict(PLANTED["eats-memory"], "cpu")
    assert verdict.verdict == "broken"
    assert "MemoryError" in verdict.why


def test_where_importing_torch_kills_methods_still_start(tmp_path):
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
    with Trying(load("epyc_avx2"), is_full=True, package=PACKAGE, limits=LIMITS) as trying:
        trying._nursery._extra["PYTHONPATH"] = f"{tmp_path}:{Path(__file__).parents[2]}"
        assert trying.verdict(PLANTED["right"], "cpu").verdict == "works"


def test_a_starter_that_somebody_else_ends_costs_nobody_a_verdict():
    with Trying(load("epyc_avx2"), is_full=True, package=PACKAGE, limits=LIMITS) as trying:
        assert trying.verdict(PLANTED["right"], "cpu").verdict == "works"
        starter = trying._nursery._starter
        run = trying._nursery.run

        def end_it_first(*given):
            trying._nursery.run = run
            starter.kill()
            return run(*given)

        trying._nursery.run = end_it_first
        assert trying.verdict(PLANTED["right"], "cpu").verdict == "works"


def test_after_a_starter_that_ended_between_steps_the_others_are_tried():
    with Trying(load("epyc_avx2"), is_full=True, package=PACKAGE, limits=LIMITS) as trying:
        first = trying.verdict(PLANTED["kills-between"], "cpu")
        assert trying.verdict(PLANTED["right"], "cpu").verdict == "works"
    assert first.verdict == "broken"
    assert [trial.name for trial in first.trials] == [FIRST]
