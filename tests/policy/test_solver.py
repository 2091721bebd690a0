from __future__ import annotations

import ctypes
import itertools
import math
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
import scipy.optimize

from qprobe.policy.solver import GAP, Item, fits, minimise


def brute_force(groups, limits):
    """The least goal over all combinations that fit, or None."""
    goals = [
        math.fsum(item.goal for item in combination)
        for combination in itertools.product(*groups)
        if fits([math.fsum(c) for c in zip(*(i.loads for i in combination), strict=True)], limits)
    ]
    return min(goals, default=None)


def random_groups(seed):
    source = random.Random(seed)
    return [
        [
            Item(source.uniform(0, 1), (10 ** source.uniform(-8, -2), source.randint(1, 10**9)))
            for _ in range(source.randint(1, 4))
        ]
        for _ in range(source.randint(1, 5))
    ]


@pytest.mark.parametrize("seed", range(60))
def test_the_answer_is_that_of_brute_force(seed):
    groups = random_groups(seed)
    source = random.Random(-seed)
    limits = tuple(
        source.uniform(
            0.9 * sum(min(i.loads[index] for i in items) for items in groups),
            sum(max(i.loads[index] for i in items) for items in groups),
        )
        for index in (0, 1)
    )
    best, found = brute_force(groups, limits), minimise(groups, limits)
    if best is None:
        assert found is None
        return
    chosen = [items[pick] for items, pick in zip(groups, found, strict=True)]
    assert fits([math.fsum(c) for c in zip(*(i.loads for i in chosen), strict=True)], limits)
    assert math.fsum(item.goal for item in chosen) <= best * (1 + GAP) + 1e-12


@pytest.mark.parametrize("index", [0, 1], ids=["power", "bytes"])
@pytest.mark.parametrize("seed", range(10))
def test_a_limit_that_only_the_least_meets_is_met_exactly(seed, index):
    groups = random_groups(seed)
    least = math.fsum(min(item.loads[index] for item in items) for items in groups)
    limits = (least, math.inf) if index == 0 else (math.inf, least)
    found = minimise(groups, limits)
    assert found is not None
    sizes = [items[pick].loads[index] for items, pick in zip(groups, found, strict=True)]
    assert math.fsum(sizes) == pytest.approx(least)


@pytest.mark.parametrize("seed", range(12))
def test_the_least_of_one_load_within_the_limit_of_another_is_found_again(seed):
    """A hint names it: whoever follows that must not be refused once more."""
    source = random.Random(seed)
    groups = [
        [
            Item(
                source.uniform(0, 1),
                (10 ** source.uniform(-8, -4) * 16**-bits, (bits + 1) * size * 1e5 + 2 * size),
            )
            for bits in range(3)
        ]
        for size in (source.choice([256, 384, 512, 768]) for _ in range(14))
    ]
    power = source.uniform(0.1, 0.6) * sum(items[0].loads[0] for items in groups)
    by_bytes = [[Item(item.loads[1], item.loads) for item in items] for items in groups]
    least = minimise(by_bytes, (power, math.inf))
    need = math.fsum(items[pick].loads[1] for items, pick in zip(groups, least, strict=True))
    assert minimise(groups, (power, need)) is not None


def test_what_the_solver_prints_is_kept_from_stdout(capfd, monkeypatch):
    libc = ctypes.CDLL(None)
    exact = scipy.optimize.milp

    def talkative(*arguments, **options):
        libc.puts(b"from C")
        return exact(*arguments, **options)

    monkeypatch.setattr(scipy.optimize, "milp", talkative)
    groups = [[Item(0.0, (2.0, 0.0)), Item(1.0, (1.0, 1.0)), Item(3.0, (0.0, 2.0))]] * 9
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: minimise(groups, (7.5, 12.5)), range(20)))
    libc.puts(b"after")
    libc.fflush(None)
    out, err = capfd.readouterr()
    assert out == "after\n"
    assert err.count("from C") >= 20


def test_of_equal_items_the_first_is_chosen():
    same = Item(1.0, (1.0, 1.0))
    assert minimise([[same, same]], (math.inf, math.inf)) == (0,)


def test_a_limit_of_zero_leaves_only_what_costs_nothing():
    items = [Item(1.0, (1e-12, 0.0)), Item(9.0, (0.0, 0.0))]
    assert minimise([items, items], (0.0, math.inf)) == (1, 1)


def test_a_limit_of_zero_and_another_that_binds_are_met_together():
    lossy, large, small = (
        Item(1.0, (1e-3, 0.0)), Item(2.0, (0.0, 10.0)), Item(3.0, (0.0, 0.0)),
    )  # fmt: skip
    found = minimise([[lossy, large, small]] * 2, (0.0, 10.0))
    assert sorted(found) == [1, 2]


def test_nothing_fits():
    assert minimise([[Item(1.0, (2.0, 0.0))]], (1.0, math.inf)) is None
    assert minimise([[]], (1.0, math.inf)) is None


def test_the_solver_prints_nothing(capfd):
    for seed in range(5):
        groups = random_groups(seed) * 20
        least = sum(min(item.loads[0] for item in items) for items in groups)
        minimise(groups, (least * 3, math.inf))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
