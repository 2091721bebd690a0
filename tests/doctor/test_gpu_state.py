"""What the cards are doing, and what holds them back."""

from __future__ import annotations

import subprocess

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


def test_the_memory_of_a_divided_card_is_not_that_of_a_process():
    machine = load("a100_mig")
    finding = find(machine, "gpu-memory")
    assert (finding.status, finding.summary) == ("skip", "a process gets a slice of 20 or 10 GB")
    assert find(machine, "gpu").summary == "NVIDIA A100-SXM4-40GB, 40 GiB, in slices"
    assert "GiB free" not in find(machine, "gpu").detail
    full = with_gpu(machine, free_memory_bytes=2**20, processes=3)  # others, on other slices
    assert find(full, "gpu-memory").status == "skip"
    unknown = with_gpu(machine, mig_profiles=None)
    assert find(unknown, "gpu-memory").summary == "a process gets a slice of it"


def test_a_divided_card_beside_a_whole_one_is_told_apart():
    machine = load("a100_mig")
    whole = load("l4").gpus[0].model_copy(update={"index": 1})
    machine = machine.model_copy(update={"gpus": (*machine.gpus, whole)})
    finding = find(machine, "gpu-memory")
    assert (finding.status, finding.summary) == (
        "ok",
        "GPU 0: a slice of 20 or 10 GB; 21.5 of 22.0 GiB free",
    )


LISTED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77)
  MIG 2g.10gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 3g.20gb     Device  1: (UUID: MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d)
  MIG 3g.20gb     Device  2: (UUID: MIG-b28ad590-3fda-56dd-84fc-0a0b96edc58d)
"""


@pytest.mark.parametrize(
    ("profiles", "chosen"),
    [
        (("3g.20gb", "2g.10gb"), "MIG-a28ad590-3fda-56dd-84fc-0a0b96edc58d"),
        (("2g.10gb",), "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"),
        (None, "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"),
    ],
    ids=str,
)
def test_the_command_chooses_a_slice(profiles, chosen, tmp_path):
    """As a shell runs it, with a driver that lists as NVIDIA's does."""
    finding = find(with_gpu(load("a100_mig"), mig_profiles=profiles), "mig")
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\ncat <<'LIST'\n{LISTED}LIST\n")
    driver.chmod(0o755)
    script = f"{finding.fix.commands[1]}; echo $CUDA_VISIBLE_DEVICES"
    said = subprocess.run(
        ["bash", "-c", script], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert said.stdout.strip() == chosen
