"""How a layer is timed beside the unquantized one: in which types, how often, with what cold and what warm."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from torch.nn import functional

from qprobe.doctor.scripts.dtypes import rank_types
from qprobe.doctor.scripts.layer import make_linear, make_rows
from qprobe.doctor.scripts.speed import time_beside
from qprobe.doctor.scripts.ways import (
    SETTLE_S,
    WAKE_S,
    WARM_CALLS,
    Rows,
    Unquantized,
    Way,
    _flusher,
    make_tasks,
)
from qprobe.timing.interleave import time_interleaved
from qprobe.timing.samples import ratio_of


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Times that a test can afford."""
    monkeypatch.setattr("qprobe.doctor.scripts.speed.QUICK_S", 0.0)
    monkeypatch.setattr("qprobe.doctor.scripts.ways.last_level_cache_bytes", lambda: 2**16)


def beside_it(device: str = "cpu") -> Unquantized:
    return Unquantized(make_linear(8, 8, "cpu"), make_linear(4, 4, "cpu"), device)


def some_rows() -> Rows:
    return Rows(make_rows(1, 8, "cpu"), make_rows(1, 4, "cpu"))


@pytest.mark.parametrize(
    ("capability", "has_bfloat16", "best"),
    [
        ((6, 0), False, "float16"), ((6, 1), False, "float32"), ((6, 2), False, "float32"),
        ((7, 0), False, "float16"), ((7, 5), False, "float16"), ((8, 0), False, "bfloat16"),
        ((9, 0), False, "bfloat16"), ((12, 1), False, "bfloat16"), (None, True, "bfloat16"),
        (None, False, "float32"),
    ],
)  # fmt: skip
def test_the_best_type_of_a_device_is_one_that_it_does_not_emulate(capability, has_bfloat16, best):
    ranked = rank_types(capability, has_bfloat16)
    assert ranked[0] == best
    assert sorted(ranked) == ["bfloat16", "float16", "float32"]


@pytest.mark.parametrize("capability", [(7, 0), (6, 1), (9, 0)])
def test_beside_it_stand_the_types_that_the_card_is_fast_in(capability, monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _device: capability)
    assert tuple(beside_it("cuda:0").ways) == rank_types(capability, False)[:2]


@pytest.mark.parametrize("slower", ["way", "unquantized"])
def test_an_interval_rests_on_enough_pairs_however_far_apart_the_two_are(slower, monkeypatch):
    """At 95 % it takes six; a way that is far behind was given up after three before."""
    pairs = []

    def count(numerator, denominator):
        pairs.append((len(numerator.seconds), len(denominator.seconds)))
        return ratio_of(numerator, denominator)

    monkeypatch.setattr("qprobe.doctor.scripts.speed.ratio_of", count)

    def wait(x, **_):
        time.sleep(0.02)
        return x

    if slower == "unquantized":
        monkeypatch.setattr(functional, "linear", wait)
    way = Way(wait if slower == "way" else lambda x: x, lambda x: x)
    found = time_beside({"": way}, beside_it(), some_rows(), "cpu", is_full=False)
    assert (found.ratio < 0.5) == (slower == "way")
    assert min(pairs[0]) >= 6


@pytest.fixture
def told(monkeypatch):
    """What happens while layers are timed, in its order: "flush", "rest", and (who, "small" or "large")."""
    events = []

    def tell(*event):
        events.append(event)

    monkeypatch.setattr("qprobe.doctor.scripts.ways._flusher", lambda *_: lambda: tell("flush"))
    monkeypatch.setattr("qprobe.doctor.scripts.ways.time.sleep", lambda _seconds: tell("rest"))
    monkeypatch.setattr(
        functional, "linear", lambda x, **_: tell("plain", "large" if x.shape[1] == 8 else "small")
    )
    return events


def run_once(events, *, own_threads):
    """What comes before a sample of the way, and of the unquantized layers, that sample included."""
    way = Way(
        lambda _x: events.append(("way", "large")), lambda _x: events.append(("way", "small"))
    )
    tasks = make_tasks({"": way}, beside_it(), some_rows(), "cpu", False, own_threads)
    found = {}
    for name, task in tasks.items():
        events.clear()
        start = time.perf_counter()
        task.prepare()
        seconds = time.perf_counter() - start
        task.run(0)
        found[name] = (list(events), seconds)
    return found


def test_weights_are_cold_and_code_is_warm_when_a_sample_is_taken(told):
    """What threw out the weights threw out the code too: layers of many operations came out half as fast."""
    for name, (events, _seconds) in run_once(told, own_threads=False).items():
        who = "way" if name.startswith("way") else "plain"
        assert events == [("flush",), *[(who, "small")] * WARM_CALLS, (who, "large")], name


def test_threads_of_two_runtimes_never_spin_at_once(told):
    """Each rests before the other works, and is awake when its sample is taken."""
    for name, (events, seconds) in run_once(told, own_threads=True).items():
        who = "way" if name.startswith("way") else "plain"
        order = [event for event, following in pairwise([*events, ()]) if event != following]
        # What flushes are torch's threads: the others come after it, and after their rest.
        first = [("flush",), ("rest",)] if who == "way" else [("rest",), ("flush",)]
        assert order == [*first, (who, "small"), (who, "large")], name
        assert seconds >= WAKE_S
    assert SETTLE_S >= 0.02, "torch's threads spin for up to that long"


@pytest.mark.parametrize(
    ("cache", "is_full", "read"),
    [
        (2**20, False, 2**20),
        (2**27, False, 2**25),
        (2**20, True, 2**20 + 2**18),
        (2**28, True, 2**28),
    ],
)
def test_what_is_read_to_make_weights_cold_is_bounded(cache, is_full, read, monkeypatch):
    monkeypatch.setattr("qprobe.doctor.scripts.ways.last_level_cache_bytes", lambda: cache)
    assert _flusher("cpu", is_full).__self__.nbytes == read


def test_another_attempt_takes_no_more_memory_than_the_first(monkeypatch):
    """Each held what it reads to make weights cold until the next had its own."""
    made = []

    def make(*arguments):
        made.append(make_tasks(*arguments))
        return made[-1]

    monkeypatch.setattr("qprobe.doctor.scripts.speed.make_tasks", make)
    monkeypatch.setattr("qprobe.doctor.scripts.speed.Contention.share", lambda _self: 1.0)
    timed = []
    monkeypatch.setattr(
        "qprobe.doctor.scripts.speed.time_interleaved",
        lambda tasks, **more: timed.append(tasks) or time_interleaved(tasks, **more),
    )
    way = Way(lambda x: x, lambda x: x)
    assert time_beside({"": way}, beside_it(), some_rows(), "cpu", is_full=False).is_disturbed
    assert len(timed) > 1 == len(made)
