"""What tells that the processors were moved, and the plans that are made anew because of it."""

import pytest

from qprobe.timing.cache import cache_folder
from tests.bench.cpu_requests import fresh_profiles
from tests.bench.handover import Handover, is_steady


def test_what_is_asked_is_kept_in_order(monkeypatch):
    told = iter((1.0, 1.2, 8.0))
    monkeypatch.setattr("tests.bench.handover.measure_handover", lambda: next(told))
    handover = Handover()
    handover.ask("timing M = 1", 0.5)
    handover.ask()
    handover.ask()
    assert handover.told == (1.0, 1.2, 8.0)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((1.0, 2.0, 1.1), (2.0, 2.1), True),
        ((1.0, 1.1, 7.4, 7.0, 7.2), (7.1, 7.9), True),
        ((1.0, 1.1, 1.0, 7.0), (7.1, 7.9), False),
        ((7.0, 7.1, 1.0), (1.0, 7.0, 1.1), False),
        ((), (7.0,), True),
    ],
    ids=["as near", "moved at the beginning", "moved between", "moved back", "not asked"],
)
def test_what_holds_for_most_of_the_time_counts(before, after, expected):
    assert is_steady(before, after) == expected


def test_a_measured_handover_is_a_ratio_of_seconds():
    handover = Handover()
    handover.ask()
    assert 0.1 < handover.found[0] < 1000


def test_profiles_are_fresh_and_the_rest_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    for kind in ("profile", "sensitivity", "kernels"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "kept.json").write_text("{}")
    with fresh_profiles():
        assert not list(cache_folder("profile").glob("*"))
        assert (cache_folder("kernels") / "kept.json").exists()
        (cache_folder("sensitivity") / "new.json").write_text("{}")
    assert cache_folder("profile") == tmp_path / "profile"
    assert (tmp_path / "profile" / "kept.json").exists()
    assert (tmp_path / "sensitivity" / "new.json").exists()
