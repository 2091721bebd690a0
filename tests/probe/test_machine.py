"""The whole probe, on the machine at hand and on planted files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import qprobe.probe.machine
from qprobe import probe
from qprobe.documents.files import parse_document, to_json
from qprobe.documents.machine import Machine
from qprobe.kernels.device import cuda_count, default_device
from qprobe.probe.cpu import count_physical_cores
from qprobe.probe.isolated import SelfTestAnswer


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


def test_without_a_question_torch_is_imported_nowhere(monkeypatch):
    def refuse(*_):
        raise AssertionError("torch was asked")

    monkeypatch.setattr(qprobe.probe.machine, "run_self_test", refuse)
    monkeypatch.setattr(qprobe.probe.machine, "ask_torch", refuse)
    found = probe.probe_machine(questions=())
    assert found.cpu.available_memory_bytes > 0
    assert found.software.torch is None
    assert found.unanswered["software.torch"] == "not asked for"
    assert found.unanswered["cpu.int8_self_test"] == "not asked for"


def test_only_what_is_asked_is_answered(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    asked = []

    def run_self_test(questions, _command):
        asked.append(questions)
        return SelfTestAnswer(bandwidth=None)

    monkeypatch.setattr(qprobe.probe.machine, "run_self_test", run_self_test)
    found = probe.probe_machine(questions=("bandwidth",), most_bytes=2**27)
    probe.probe_machine(questions=("facts",))
    assert asked == [("facts", "bandwidth"), ("facts",)]
    told = found.unanswered["cpu.read_bandwidth_bytes_per_s"]
    assert told == "the caches hold the 128 MiB that it may take"


def test_machine_without_torch_is_still_described(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    found = probe.probe_machine()
    assert found.software.torch is None
    assert found.cpu.int8_self_test is None
    assert found.cpu.usable_cores >= 1
    assert found.fingerprints == {}
    assert found.unanswered["cpu.int8_self_test"] == "torch is needed"


PROBE = """
import sys
from qprobe.documents.files import to_json
from qprobe.probe import probe_machine
print(to_json(probe_machine()))
assert "torch" not in sys.modules
"""


def probe_apart(code=PROBE, **environment):
    """Probe in a process that has not imported torch."""
    paths = (str(Path(qprobe.__file__).parents[1]), environment.pop("PYTHONPATH", ""))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return parse_document(Machine, done.stdout, "stdout")


def test_a_process_without_torch_does_not_import_it_to_ask(machine):
    found = probe_apart()
    assert found.fingerprints.keys() == machine.fingerprints.keys()
    assert found.software.torch.version == machine.software.torch.version
    assert found.cpu.int8_self_test.outcome == machine.cpu.int8_self_test.outcome
    assert found.cpu.model == machine.cpu.model


def test_variables_that_are_no_text_do_not_keep_the_document_from_being_written():
    found = probe_apart(MKL_X="caf\udce9", CXX="/tmp/caf\udce9")
    assert found.software.environment["MKL_X"] == "caf\\udce9"
    assert found.unanswered["software.torch.cxx_compiler"] == "caf\\udce9 is not on the PATH"


def test_a_torch_that_dies_is_a_fact_and_the_rest_is_there(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("import os; os.abort()")
    found = probe_apart(PYTHONPATH=str(tmp_path))
    assert found.software.torch is None
    assert "SIGABRT" in found.unanswered["software.torch"]
    assert found.cpu.usable_cores >= 1
    assert found.cpu.int8_self_test is None


def test_a_self_test_that_dies_is_a_failed_test(monkeypatch):
    broken = SelfTestAnswer(bandwidth=(1e9, 2e9), bf16=2.0, broke={"int8": "ended by SIGILL"})
    monkeypatch.setattr(qprobe.probe.machine, "run_self_test", lambda *_: broken)
    found = probe.probe_machine()
    assert found.cpu.int8_self_test.outcome == "failed"
    assert found.cpu.int8_self_test.words == "ended by SIGILL"
    assert found.cpu.bf16_speed_ratio == 2.0
    assert found.cpu.copy_bandwidth_bytes_per_s == 1e9


LOCKED = """
import builtins, io, os, pathlib, sys
real = {"open": io.open, "stat": os.stat, "scandir": os.scandir, "listdir": os.listdir}
def closed(name):
    def guarded(path, *args, **kwargs):
        if str(path).startswith(("/proc", "/sys", "/dev/nvidia")):
            raise PermissionError(13, "Permission denied", str(path))
        return real[name](path, *args, **kwargs)
    return guarded
io.open = builtins.open = closed("open")
os.stat, os.scandir, os.listdir = closed("stat"), closed("scandir"), closed("listdir")
"""


def test_without_proc_and_sys_the_rest_is_there_and_each_gap_has_a_reason(tmp_path):
    (tmp_path / "home").mkdir(mode=0o555)
    found = probe_apart(LOCKED + PROBE, HOME=str(tmp_path / "home"))
    assert found.cpu.usable_cores >= 1
    for name in ("last_level_cache_bytes", "available_memory_bytes", "physical_cores"):
        assert getattr(found.cpu, name) is None
        assert "does not tell" in found.unanswered[f"cpu.{name}"]
    assert found.host.load is None
    assert "host.load" in found.unanswered


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
