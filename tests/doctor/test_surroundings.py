"""Containers, limits, other programs, and documents that leave things out."""

from __future__ import annotations

import pytest

from qprobe.doctor import run_checks
from qprobe.documents.machine import NONE_LISTED
from tests.doctor.machines import (
    load,
    with_gpu,
    with_host,
)
from tests.doctor.test_findings import find


@pytest.mark.parametrize(
    ("container", "words", "hint"),
    [
        ("docker", "the container was given no GPU", "docker run --gpus all"),
        ("podman", "the container was given no GPU", "podman run --device nvidia.com/gpu=all"),
        ("kubernetes", "the pod was given no GPU", "nvidia.com/gpu: 1"),
        (None, "the driver is loaded, and no GPU is to be had", "permissions"),
    ],
)
def test_a_loaded_driver_without_a_device_is_explained(container, words, hint):
    machine = with_host(load("container_without_gpu"), container=container)
    finding = find(machine, "container")
    assert (finding.status, finding.summary) == ("fail", words)
    assert hint in finding.fix.text
    assert find(machine, "gpu").status == "skip"


@pytest.mark.parametrize(
    "unanswered",
    [{}, {"gpus": "NVML Shared Library Not Found", "gpus.0.ecc": "no NVML"}, {"gpus.0.mig": "x"}],
    ids=["answered", "found by torch without NVML", "some fields silent"],
)
def test_of_a_machine_that_is_asked_about_its_cpu_nobody_is_told_that_it_has_no_gpu(unanswered):
    machine = with_host(load("h100_cu13"), kernel_driver="580.95.05")
    narrowed = machine.model_copy(update={"unanswered": unanswered}).limited_to(("cpu",))
    assert find(narrowed, "container").status == "ok"
    finding = find(narrowed, "gpu")
    assert (finding.status, finding.summary) == ("skip", "not asked about: the device is the CPU")
    told = " ".join(f"{item.summary} {item.detail}" for item in run_checks(narrowed))
    assert "no NVIDIA GPU" not in told
    assert "NVML" not in told


def test_a_driver_that_lists_no_gpu_is_explained_by_the_container():
    machine = load("container_without_gpu")
    machine = machine.model_copy(update={"unanswered": {"gpus": NONE_LISTED}})
    assert find(machine, "container").status == "fail"
    bare = with_host(machine, kernel_driver=None)
    assert (find(bare, "container").status, find(bare, "gpu").status) == ("ok", "skip")


def test_a_broken_driver_is_not_called_a_matter_of_the_container():
    words = "RM has detected an NVML/RM version mismatch."
    machine = load("container_without_gpu").model_copy(update={"unanswered": {"gpus": words}})
    assert find(machine, "gpu").status == "fail"
    assert find(machine, "container").status == "ok"


def test_of_cards_in_slices_one_is_enough():
    machine = load("a100_mig")
    second = machine.gpus[0].model_copy(update={"index": 1})
    machine = machine.model_copy(update={"gpus": (*machine.gpus, second)})
    assert find(machine, "gpu-torch").status == "ok"
    assert find(with_gpu(machine, mig=False), "gpu-torch").status == "ok"  # the other still is
    whole = machine.model_copy(update={"gpus": tuple(
        gpu.model_copy(update={"mig": False}) for gpu in machine.gpus)})  # fmt: skip
    assert find(whole, "gpu-torch").status == "fail"


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        ({}, "none"),
        ({"container": "docker"}, "docker, without limits"),
        (
            {"container": "docker", "cpu_limit_cores": 1.5, "memory_limit_bytes": 2**33},
            "docker; 1.5 cores, 8.0 GiB of memory",
        ),
        ({"cpu_limit_cores": 2.0}, "no container; 2 cores"),
    ],
    ids=str,
)
def test_limits_are_told(changes, summary):
    finding = find(with_host(load("h100_cu13"), **changes), "container")
    assert (finding.status, finding.summary) == ("ok", summary)


def test_a_document_from_before_the_host_was_asked_skips_what_needs_it():
    machine = load("h100_cu13").model_copy(update={"host": None})
    for name in ("container", "load", "cache"):
        assert find(machine, name).status == "skip"


@pytest.mark.parametrize(
    ("load_", "status"), [(0.0, "ok"), (8.0, "ok"), (8.1, "warn"), (None, "skip")]
)
def test_other_programs(load_, status):
    assert find(with_host(load("h100_cu13"), load=load_), "load").status == status  # 16 cores


@pytest.mark.parametrize(("writable", "status"), [(True, "ok"), (False, "warn"), (None, "skip")])
def test_cache(writable, status):
    assert find(with_host(load("h100_cu13"), cache_is_writable=writable), "cache").status == status


def test_facts_that_were_not_read_are_told():
    machine = load("h100_cu13")
    assert find(machine, "record").summary == "written from tables, not probed"
    probed = machine.model_copy(update={"origin": "probed", "unanswered": {}})
    assert find(probed, "record").summary == "every question was answered"
    quiet = probed.model_copy(update={"unanswered": {f"gpus.0.f{i}": "no" for i in range(9)}})
    finding = find(quiet, "record")
    assert finding.summary == "9 questions unanswered"
    assert "gpus.0.f0: no" in finding.detail
    assert "and 1 more" in finding.detail


def test_the_limits_of_a_container_hold_for_what_is_said_of_the_machine():
    machine = load("container_without_gpu")
    memory = find(machine, "memory")
    assert memory.summary == "32.0 of 32.0 GiB available, which is the limit"
    assert "17.2 billion parameters at 16 bits" in memory.detail
    threads = find(machine, "threads")
    assert (threads.status, threads.summary) == ("warn", "16 threads on 4 usable cores")
    assert "A quota of 4 cores" in threads.detail
    assert threads.fix.commands == ("export OMP_NUM_THREADS=4",)
    assert find(machine, "load").summary == "a load of 0.1 on 4 cores"
    assert "limited to 4 cores and 32.0 GiB of memory" in find(machine, "container").detail


@pytest.mark.parametrize(
    ("cores", "memory_bytes", "threads", "available"),
    [
        (None, None, "ok", "120.0 of 128.0 GiB available"),
        (64.0, 2**40, "ok", "120.0 of 128.0 GiB available"),
        (0.5, 2**30, "warn", "1.0 of 1.0 GiB available, which is the limit"),
        (15.2, 2**36, "ok", "64.0 of 64.0 GiB available, which is the limit"),
    ],
    ids=str,
)
def test_a_limit_counts_where_it_is_less(cores, memory_bytes, threads, available):
    limits = {"cpu_limit_cores": cores, "memory_limit_bytes": memory_bytes}
    machine = with_host(load("h100_cu13"), **limits)
    assert find(machine, "threads").status == threads
    assert find(machine, "memory").summary == available
    assert find(machine, "memory").status == ("warn" if memory_bytes == 2**30 else "ok")
