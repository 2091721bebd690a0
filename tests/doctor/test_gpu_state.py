"""What the cards are doing, and what holds them back."""

from __future__ import annotations

import pytest

from tests.doctor.machines import (
    load,
    with_gpu,
)
from tests.doctor.test_findings import find


@pytest.mark.parametrize(
    ("reasons", "status", "words"),
    [
        (("idle",), "ok", "idle"),
        ((), "ok", "nothing holds it back"),
        (("power_cap",), "warn", "power limit"),
        (("hardware_thermal", "hardware_slowdown"), "warn", "too hot"),
        (("power_brake",), "warn", "brake"),
        (("application_clocks",), "ok", "fixed values"),
        (None, "skip", "does not tell"),
    ],
)
def test_clocks(reasons, status, words):
    finding = find(with_gpu(load("h100_cu13"), throttle_reasons=reasons), "clocks")
    assert finding.status == status
    assert words in f"{finding.summary} {finding.detail}"


def test_slowed_clocks_are_told_in_megahertz():
    machine = with_gpu(
        load("h100_cu13"),
        throttle_reasons=("software_thermal",), sm_clock_hz=9.9e8, sm_clock_max_hz=1.98e9,
    )  # fmt: skip
    assert find(machine, "clocks").summary == "slowed down to 990 of 1980 MHz"


@pytest.mark.parametrize(
    ("limit", "default", "status"),
    [(700.0, 700.0, "ok"), (699.0, 700.0, "ok"), (350.0, 700.0, "warn"), (None, 700.0, "skip"),
     (350.0, None, "skip")],
)  # fmt: skip
def test_power(limit, default, status):
    machine = with_gpu(load("h100_cu13"), power_limit_w=limit, power_limit_default_w=default)
    assert find(machine, "power").status == status


AWAKE = {"performance_state": 0, "throttle_reasons": ()}


@pytest.mark.parametrize(
    ("changes", "status", "summary"),
    [
        ({}, "ok", "16 lanes"),
        ({"pcie_width": 4}, "warn", "4 of 16 lanes"),
        (AWAKE, "warn", "generation 1 of 5"),
        (AWAKE | {"pcie_generation": 5}, "ok", "16 lanes"),
        (AWAKE | {"pcie_width": 8}, "warn", "8 of 16 lanes, generation 1 of 5"),
        (AWAKE | {"pcie_generation": None}, "ok", "16 lanes"),
        ({"pcie_width": None}, "skip", "the driver does not tell"),
    ],
    ids=str,
)
def test_an_idle_link_is_judged_by_its_width_alone(changes, status, summary):
    finding = find(with_gpu(load("h100_cu13"), **changes), "pcie")
    assert (finding.status, finding.summary) == (status, summary)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, "ok", "GiB free"),
        ({"processes": 1}, "warn", "1 other process computes"),
        ({"processes": 3}, "warn", "3 other processes compute"),
        ({"free_memory_bytes": 2**30, "processes": 2}, "warn", "1.0 GiB free"),
        ({"compute_mode": "prohibited"}, "fail", "closed"),
        ({"compute_mode": "exclusive"}, "ok", "GiB free"),
        ({"compute_mode": "exclusive", "processes": 1}, "fail", "to itself"),
        ({"free_memory_bytes": None}, "skip", "does not tell"),
    ],
    ids=str,
)
def test_gpu_memory(changes, status, words):
    finding = find(with_gpu(load("h100_cu13"), **changes), "gpu-memory")
    assert finding.status == status
    assert words in finding.summary


@pytest.mark.parametrize(
    ("ecc", "errors", "status", "words"),
    [
        (True, 0, "ok", "no error left uncorrected"),
        (True, None, "ok", "on"),
        (False, None, "ok", "off"),
        (True, 1, "fail", "1 memory error could"),
        (True, 2, "fail", "2 memory errors could"),
        (None, None, "skip", "does not tell"),
    ],
)
def test_ecc(ecc, errors, status, words):
    machine = with_gpu(load("h100_cu13"), ecc=ecc, ecc_uncorrected_errors=errors)
    finding = find(machine, "ecc")
    assert finding.status == status
    assert words in finding.summary


@pytest.mark.parametrize(
    ("mig", "profiles", "status", "words"),
    [
        (None, None, "skip", "cannot be divided"),
        (False, None, "ok", "off"),
        (True, ("1g.10gb",), "warn", "1g.10gb"),
        (True, (), "fail", "no slice"),
        (True, None, "warn", "unknown slices"),
    ],
)
def test_mig(mig, profiles, status, words):
    finding = find(with_gpu(load("h100_cu13"), mig=mig, mig_profiles=profiles), "mig")
    assert finding.status == status
    assert words in finding.summary
