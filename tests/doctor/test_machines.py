"""The recorded machines say what they are, and what is found on them, word for word."""

from __future__ import annotations

import json

import pytest

from qprobe.documents.files import to_json
from qprobe.documents.machine import MEASURED
from tests.doctor.machines import FOLDER, NAMES, load
from tests.machines.generate import MACHINES, expected

STALE = "run `python -m tests.machines.generate`, and read what changes"


def test_every_machine_has_its_two_files():
    assert set(NAMES) == set(MACHINES)
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(MACHINES)


@pytest.mark.parametrize("name", MACHINES)
def test_the_document_is_not_stale(name):
    written = json.loads((FOLDER / f"{name}.json").read_text())
    fresh = json.loads(to_json(MACHINES[name]))
    # A release changes who wrote it, not what it says.
    assert written | {"qprobe_version": ""} == fresh | {"qprobe_version": ""}, STALE


@pytest.mark.parametrize("name", NAMES)
def test_what_is_found_on_it_word_for_word(name):
    assert expected(load(name)) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8"), STALE


@pytest.mark.parametrize("name", NAMES)
def test_it_says_that_it_is_written_from_tables_and_claims_no_speed(name):
    machine = load(name)
    assert machine.origin == "tables"
    assert [getattr(machine.cpu, field) for field in MEASURED] == [None] * len(MEASURED)
    for gpu in machine.gpus:
        assert (gpu.sm_clock_hz, gpu.sm_clock_max_hz, gpu.memory_clock_hz) == (None, None, None)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_none_in_it_has_a_reason(name):
    machine = load(name)
    for gpu in machine.gpus:
        known = ("mig_profiles", "device")
        silent = {field for field, value in gpu if value is None and field not in known}
        assert all(f"gpus.{gpu.index}.{field}" in machine.unanswered for field in silent)


def test_the_cards_that_people_ask_about_are_there():
    wanted = (
        "v100_old_peft", "v100_cu126_torch", "p40", "gtx_1660", "t4", "a10g", "a100_mig", "l4",
        "rtx_4090", "h100_cu13", "b200", "b300", "gb10", "laptop_avx_vnni", "old_driver",
        "container_without_gpu", "two_cupys",
    )  # fmt: skip
    assert set(wanted) <= set(NAMES)
