"""What tells that the processors were moved, and the plans that are made anew because of it."""

from qprobe.timing.cache import cache_folder
from tests.bench.cpu_requests import fresh_profiles
from tests.bench.handover import Handover, is_steady


def test_what_is_asked_is_kept_in_order(monkeypatch):
    told = iter((1.0, 1.2, 8.0))
    monkeypatch.setattr("tests.bench.handover.measure_handover", lambda: next(told))
    handover = Handover()
    handover.ask("timing M = 1", 0.5)
    handover.ask()
    assert is_steady(handover.found)
    handover.ask()
    assert handover.found == [1.0, 1.2, 8.0]
    assert not is_steady(handover.found)


def test_what_was_never_asked_is_not_said_to_have_moved():
    assert is_steady(())


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
