from __future__ import annotations

from datetime import UTC, datetime

import pytest

from qprobe.documents.files import save_document
from qprobe.flow.evidence import profiles_of_machine, profiles_of_plan
from qprobe.timing.cache import remember
from tests import documents_factory as factory
from tests.render import samples

PLAN = samples.plan()
YARDSTICK = PLAN.targets["cpu-test"].yardstick_s


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "cache"))


def test_a_plans_profile_is_found_in_the_cache_by_its_yardstick():
    mine = factory.profile(yardstick_s=YARDSTICK)
    remember(mine, "a")
    remember(factory.profile(yardstick_s=2 * YARDSTICK), "b")
    assert profiles_of_plan(PLAN) == {"cpu-test": mine}


def test_what_was_free_in_memory_when_it_was_planned_does_not_matter():
    remember(factory.profile(yardstick_s=YARDSTICK, free_memory_bytes=1), "a")
    assert list(profiles_of_plan(PLAN)) == ["cpu-test"]


def test_files_go_before_the_cache(tmp_path):
    remember(factory.profile(yardstick_s=YARDSTICK), "a")
    given = factory.profile(yardstick_s=YARDSTICK, threads=7)
    save_document(given, tmp_path / "p.json")
    assert profiles_of_plan(PLAN, [tmp_path / "p.json"]) == {"cpu-test": given}


def test_a_profile_of_another_device_or_none_at_all_is_no_evidence():
    assert profiles_of_plan(PLAN) == {}
    remember(factory.profile(slug="cpu-other", yardstick_s=YARDSTICK), "a")
    assert profiles_of_plan(PLAN) == {}


def test_a_machine_has_its_newest_profile():
    times = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 2)]
    for index, time in enumerate(times):
        remember(factory.profile(created_utc=time), str(index))
    remember(factory.profile(slug="cpu-other"), "other")
    found = profiles_of_machine(samples.machine())
    assert {slug: profile.created_utc for slug, profile in found.items()} == {"cpu-test": times[1]}
    assert profiles_of_machine(samples.machine(fingerprints={})) == {}
