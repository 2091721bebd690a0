"""The whole probe, on the machine at hand and on planted files."""

from __future__ import annotations

import sys

import pytest

from qprobe import probe
from qprobe.documents.files import parse_document, to_json
from qprobe.documents.machine import Machine
from qprobe.kernels.device import cuda_count, default_device
from qprobe.probe.cpu import count_physical_cores


@pytest.fixture(scope="module")
def machine():
    return probe.probe_machine()


def test_machine_survives_its_json(machine):
    assert parse_document(Machine, to_json(machine), "machine.json") == machine


def test_every_device_has_a_fingerprint(machine):
    assert len(machine.fingerprints) == 1 + cuda_count()
    assert default_device() in machine.fingerprints


def test_cpu_is_measured(machine):
    assert machine.cpu.int8_self_test.outcome in ("exact", "saturates")
    assert machine.cpu.bf16_speed_ratio > 0
    assert machine.cpu.read_bandwidth_bytes_per_s > 0


def test_whatever_is_none_in_the_cpu_has_a_reason(machine):
    for name in type(machine.cpu).model_fields:
        known = getattr(machine.cpu, name) is not None
        assert known == (f"cpu.{name}" not in machine.unanswered), name


def test_no_gpu_has_a_reason(machine):
    assert bool(machine.gpus) != ("gpus" in machine.unanswered)


def test_what_is_not_asked_for_is_left_out():
    found = probe.probe_machine(bandwidth=False, arithmetic=False)
    assert found.cpu.read_bandwidth_bytes_per_s is None
    assert found.cpu.int8_self_test is None
    for field in ("read_bandwidth_bytes_per_s", "int8_self_test", "bf16_speed_ratio"):
        assert found.unanswered[f"cpu.{field}"] == "not asked for"


def test_machine_without_torch_is_still_described(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = probe.probe_machine()
    assert found.software.torch is None
    assert found.cpu.int8_self_test is None
    assert found.cpu.usable_cores >= 1
    assert found.fingerprints == {}
    assert found.unanswered["cpu.int8_self_test"] == "torch is needed"


@pytest.mark.parametrize(
    ("cores", "count"),
    [
        ([("0", "0"), ("0", "1")], 2),
        ([("0", "0"), ("0", "0"), ("0", "1"), ("0", "1")], 2),
        ([("0", "0"), ("1", "0")], 2),
        ([], None),
    ],
    ids=["plain", "hyper-threading", "two sockets", "unknown"],
)
def test_physical_cores(tmp_path, cores, count):
    for index, (package, core) in enumerate(cores):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{index}/topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(package)
        (folder / "core_id").write_text(core)
    assert count_physical_cores(tmp_path) == count


def test_core_that_is_switched_off_is_not_counted(tmp_path):
    (tmp_path / "sys/devices/system/cpu/cpu0/topology").mkdir(parents=True)
    assert count_physical_cores(tmp_path) is None
