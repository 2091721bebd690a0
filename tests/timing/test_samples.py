"""What may be said of samples."""

import random
import time

import pytest
import torch

from qprobe.timing import interleave
from qprobe.timing.interleave import DOMINATED_SAMPLES, Task, time_calmly, time_interleaved
from qprobe.timing.samples import Samples, ratio_of


def test_median_and_quantiles():
    samples = Samples((5.0, 1.0, 4.0, 2.0, 3.0))
    assert samples.median == 3.0
    assert samples.quantile(0.2) == 1.0
    assert samples.quantile(0.8) == 4.0
    assert samples.spread == pytest.approx(1.0)


def test_a_drift_of_the_machine_cancels_in_the_ratio():
    drift = [1.0 + 0.5 * i for i in range(12)]
    ratio = ratio_of(Samples(tuple(2 * d for d in drift)), Samples(tuple(drift)))
    assert (ratio.median, ratio.low, ratio.high) == (2.0, 2.0, 2.0)


def test_few_pairs_give_their_whole_range():
    ratio = ratio_of(Samples((1.0, 2.0, 3.0)), Samples((1.0, 1.0, 1.0)))
    assert (ratio.low, ratio.high) == (1.0, 3.0)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    generator = random.Random(0)
    covered = 0
    for _ in range(400):
        noisy = tuple(1.3 * generator.lognormvariate(0, 0.2) for _ in range(15))
        ratio = ratio_of(Samples(noisy), Samples((1.0,) * 15))
        covered += ratio.low <= 1.3 <= ratio.high
    assert 0.93 <= covered / 400 <= 1.0


def test_tasks_run_in_turn_and_are_prepared_outside_the_clock():
    seen = []

    def burn(name):
        return lambda _: (seen.append(name), sum(range(20_000)))

    tasks = {
        "a": Task(burn("a"), prepare=lambda: seen.append("prepare"), shortest_s=0.0),
        "b": Task(burn("b"), shortest_s=0.0),
    }
    timed = time_interleaved(tasks, budget_s=0.0, min_samples=6, prune=False)
    assert {len(samples.seconds) for samples in timed.values()} == {6}
    assert seen.count("prepare") == 2 + 2 * 6
    first_halves = [name for name in seen if name != "prepare"]
    assert first_halves.count("a") == first_halves.count("b")


def test_the_counter_goes_on_so_that_work_rotates():
    counters = []
    time_interleaved(
        {"a": Task(lambda i: (counters.append(i), sum(range(20_000))))}, budget_s=0.0, min_samples=4
    )
    assert counters == list(range(len(counters)))


def test_a_sample_begins_warm_where_the_calls_are_short():
    seen = []

    def work(name, seconds):
        return lambda _: (seen.append(name), time.sleep(seconds))

    tasks = {"short": Task(work("short", 1e-3), shortest_s=0.0), "long": Task(work("long", 0.12))}
    time_interleaved(tasks, budget_s=0.0, min_samples=2, prune=False)
    assert seen.count("short") == 2 + 2 * 2
    assert seen.count("long") == 1 + 2


def test_a_short_task_is_warmed_up_for_as_long_as_it_asks():
    """Caches settle on what they keep only after some passes."""
    now, runs = [0.0], []

    def run(counter):
        runs.append(counter)
        now[0] += 1e-3

    task = Task(run, shortest_s=2e-3, warm_up_s=9e-3, clock=lambda: now[0])
    timed = time_interleaved({"a": task}, budget_s=0, min_samples=3)
    assert len(timed["a"].seconds) == 3
    assert len(runs) == 2 + 3 * (9 + 2)


def test_a_clock_that_stands_still_leaves_out_what_does_not_count():
    stopped = 0.0

    def run(_):
        nonlocal stopped
        start = time.perf_counter()
        time.sleep(5e-3)
        stopped += time.perf_counter() - start

    task = Task(run, clock=lambda: time.perf_counter() - stopped, shortest_s=0.0)
    timed = time_interleaved({"task": task}, budget_s=0.0, min_samples=3)
    assert timed["task"].median < 2.5e-3


def test_a_task_out_of_the_race_gets_few_samples():
    tasks = {
        "fast": Task(lambda _: sum(range(10_000))),
        "slow": Task(lambda _: sum(range(400_000))),
    }
    timed = time_interleaved(tasks, budget_s=0.0, min_samples=9)
    assert len(timed["fast"].seconds) == 9
    assert len(timed["slow"].seconds) == DOMINATED_SAMPLES


def test_what_is_no_rival_is_neither_dropped_nor_the_bar():
    tasks = {
        "short": Task(lambda _: sum(range(1_000)), is_rival=False),
        "rival": Task(lambda _: sum(range(200_000))),
        "long": Task(lambda _: sum(range(2_000_000)), is_rival=False),
    }
    timed = time_interleaved(tasks, budget_s=0.0, min_samples=6)
    assert {len(samples.seconds) for samples in timed.values()} == {6}


def test_the_yardstick_is_a_steady_piece_of_work():
    from qprobe.timing.yardstick import NAME, make_yardstick, time_yardstick

    alone = time_yardstick()
    flush = torch.zeros(2**24)
    tasks = {NAME: make_yardstick(), "other": Task(lambda _: flush.add_(1))}
    beside = time_interleaved(tasks, budget_s=0.3, min_samples=15)[NAME].median
    assert alone > 0
    assert beside / alone == pytest.approx(1, abs=0.7)


def attempt(*seconds):
    return {"task": Samples(seconds)}


def test_a_disturbed_run_is_taken_again(monkeypatch):
    runs = [attempt(1.0, 2.0, 3.0, 1.5), attempt(1.0, 1.01, 1.02, 1.03)]
    monkeypatch.setattr(interleave, "time_interleaved", lambda *_, **__: runs.pop(0))
    assert time_calmly({}, budget_s=0.0)["task"].seconds[1] == 1.01
    assert runs == []


def test_a_machine_that_stays_disturbed_gives_its_calmest_run(monkeypatch):
    runs = [attempt(1.0, 4.0, 9.0), attempt(1.0, 1.5, 2.0), attempt(1.0, 8.0, 9.0)]
    monkeypatch.setattr(interleave, "time_interleaved", lambda *_, **__: runs.pop(0))
    assert time_calmly({}, budget_s=0.0)["task"].seconds == (1.0, 1.5, 2.0)
