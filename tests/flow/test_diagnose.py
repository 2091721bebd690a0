from __future__ import annotations

from dataclasses import replace

import pytest

import qprobe.doctor
import qprobe.probe
from qprobe.doctor._method import Method
from qprobe.doctor.execution import disturbance
from qprobe.doctor.execution.disturbance import Load
from qprobe.documents.files import save_document
from qprobe.documents.finding import Trial, Verdict
from qprobe.documents.machine import GpuState
from qprobe.errors import InputError, UnavailableError
from qprobe.flow.diagnose import diagnose
from tests.render.samples import finding, gpu, gpu_fingerprint, machine


@pytest.fixture
def machine_file(tmp_path):
    fingerprints = {"cuda:0": gpu_fingerprint(), "cuda:1": gpu_fingerprint()}
    save_document(machine(gpus=(gpu(0), gpu(1)), fingerprints=fingerprints), tmp_path / "m.json")
    return tmp_path / "m.json"


@pytest.fixture(autouse=True)
def one_check(monkeypatch):
    monkeypatch.setattr(qprobe.doctor, "run_checks", lambda _machine, _only: (finding(),))
    monkeypatch.setattr(qprobe.doctor, "list_methods", tuple)


def test_a_recorded_machine_is_not_probed(machine_file, monkeypatch):
    monkeypatch.delattr(qprobe.probe, "probe_machine")
    assert diagnose(machine_file=machine_file).findings == (finding(),)


def test_this_machine_is_probed(monkeypatch):
    here = machine()
    monkeypatch.setattr(qprobe.probe, "probe_machine", lambda **_: here)
    assert diagnose().machine == here


@pytest.mark.parametrize(
    ("device", "indices"), [(None, [0, 1]), ("cuda", [0]), ("cuda:1", [1]), ("cpu", [])]
)
def test_a_device_leaves_the_other_gpus_out(machine_file, device, indices):
    found = diagnose(device, machine_file=machine_file).machine
    assert [item.index for item in found.gpus] == indices


@pytest.mark.parametrize("device", ["cuda:2", "gpu", "", "cuda:01"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(machine_file, device):
    with pytest.raises(InputError, match="no device") as caught:
        diagnose(device, machine_file=machine_file)
    assert caught.value.hint == "there is cpu, cuda:0, cuda:1"


def test_a_run_of_no_checks_is_no_success(machine_file, monkeypatch):
    monkeypatch.setattr(qprobe.doctor, "run_checks", lambda _machine, _only: ())
    with pytest.raises(UnavailableError):
        diagnose(machine_file=machine_file)


def test_only_what_the_named_checks_need_is_asked(monkeypatch):
    asked = []

    def probe_machine(**how):
        asked.append(how["questions"])
        return machine()

    monkeypatch.setattr(qprobe.probe, "probe_machine", probe_machine)
    diagnose(only=("memory", "load"))
    diagnose(only=("bandwidth",))
    diagnose(only=("memory",), device="cpu")
    diagnose()
    assert asked == [(), ("facts", "bandwidth"), ("facts",), None]


def test_a_run_of_everything_measures_on_little_memory_and_others_on_what_it_takes(monkeypatch):
    limits = []

    def probe_machine(**how):
        limits.append(how["most_bytes"])
        return machine()

    monkeypatch.setattr(qprobe.probe, "probe_machine", probe_machine)
    diagnose()
    diagnose(full=True)
    diagnose(only=("bandwidth",))
    assert limits == [3 * 2**25, None, None]


def test_interrupted_while_the_machine_is_asked_it_tells_what_needs_no_asking(monkeypatch):
    monkeypatch.undo()

    def probe_machine(**how):
        if how["questions"] != ():
            raise KeyboardInterrupt
        return machine()

    monkeypatch.setattr(qprobe.probe, "probe_machine", probe_machine)
    found = diagnose()
    assert found.interrupted
    assert not found.verdicts
    ids = [item.id for item in found.findings]
    assert "memory" in ids
    assert "torch" not in ids, "what was not asked is no finding"


METHOD = Method("some-method", "Some", 8, "int8", lambda _report: None)
CPU_ONLY = replace(METHOD, id="cpu-method", devices=("cpu",))


@pytest.fixture
def methods(monkeypatch):
    """Two methods whose verdicts are given, on a machine of two GPUs; what was tried is listed."""
    tried = []

    class Given:
        seconds = 0.0
        broken = ()

        def __init__(self, _machine, *, is_full):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def verdict(self, method, device):
            tried.append((method.id, device))
            trial = Trial(name="x", outcome="failed", words="CUDA error")
            is_bad = (method.id, device) in self.broken
            clock[0] += self.seconds
            return Verdict(
                method=method.id, device=device, verdict="broken" if is_bad else "works", why="it",
                evidence="measured", trials=(trial,) if is_bad else (),
            )  # fmt: skip

    clock = [0.0]
    cards = (gpu(0), gpu(1).model_copy(update={"name": "Another"}))
    fingerprints = {"cuda:0": gpu_fingerprint(), "cuda:1": gpu_fingerprint()}
    here = machine(gpus=cards, fingerprints=fingerprints, unanswered={})
    monkeypatch.setattr(qprobe.probe, "probe_machine", lambda **_: here)
    monkeypatch.setattr(qprobe.doctor, "list_methods", lambda: (METHOD, CPU_ONLY))
    monkeypatch.setattr("qprobe.doctor.naming.list_methods", lambda: (METHOD, CPU_ONLY))
    monkeypatch.setattr(qprobe.doctor, "Trying", Given)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("qprobe.flow.methods._read_state", lambda _device: None)
    Given.tried = tried
    return Given


def state(**changes):
    fields = {
        "sm_clock_hz": 1e9, "memory_clock_hz": 1e9, "temperature_c": 40, "power_w": 100.0,
        "throttled": (), "other_processes": 0,
    }  # fmt: skip
    return GpuState(**fields | changes)


def test_a_gpu_that_falls_off_the_bus_is_one_finding_and_the_others_go_on(methods, monkeypatch):
    methods.broken = (("some-method", "cuda:0"),)

    def read(card):
        is_gone = card == gpu(0) and ("some-method", "cuda:0") in methods.tried
        return None if is_gone or card is None else state()

    monkeypatch.setattr("qprobe.flow.methods._read_state", read)
    second = replace(METHOD, id="second-method")
    monkeypatch.setattr(qprobe.doctor, "list_methods", lambda: (METHOD, second, CPU_ONLY))
    found = diagnose(full=True)
    assert ("second-method", "cuda:0") not in methods.tried
    assert {device for _, device in methods.tried} == {"cpu", "cuda:0", "cuda:1"}
    assert ("second-method", "cuda:1") in methods.tried
    (lost,) = [item for item in found.findings if item.id == "gpu-lost"]
    assert (lost.status, lost.summary) == ("fail", "GPU 0 was lost during the run")
    assert "some-method" in lost.detail
    assert "second-method" in lost.detail


@pytest.mark.parametrize("before", [None, "known"], ids=["silent-driver", "gpu-still-there"])
def test_a_method_that_breaks_on_a_gpu_that_is_there_is_no_lost_gpu(methods, monkeypatch, before):
    methods.broken = (("some-method", "cuda:0"),)
    monkeypatch.setattr(
        "qprobe.flow.methods._read_state",
        lambda card: state() if before and card is not None else None,
    )
    found = diagnose(full=True)
    assert "gpu-lost" not in [item.id for item in found.findings]


def test_what_slowed_a_gpu_down_is_told(methods, monkeypatch):
    slowed = state(throttled=("software thermal slowdown",))
    busy = state(other_processes=2)
    states = {0: slowed, 1: busy}
    monkeypatch.setattr(
        "qprobe.flow.methods._read_state", lambda card: states[card.index] if card else None
    )
    words = diagnose(full=True).disturbed_by
    assert "cuda:0 was slowed down (software thermal slowdown)" in words
    assert "2 other processes had work on cuda:1" in words


def test_a_driver_that_did_not_answer_is_not_asked_again(methods, monkeypatch):
    here = machine(gpus=(gpu(0),), unanswered={"gpus": "no answer within 30 s"})
    monkeypatch.setattr(qprobe.probe, "probe_machine", lambda **_: here)
    asked = []
    monkeypatch.setattr("qprobe.flow.methods._read_state", asked.append)
    diagnose(full=True)
    assert methods.tried == [
        ("some-method", "cpu"),
        ("cpu-method", "cpu"),
        ("some-method", "cuda:0"),
    ]
    assert set(asked) == {None}


def test_when_the_time_is_up_the_rest_is_told_as_not_tried(methods, monkeypatch):
    methods.seconds = 15.0
    monkeypatch.setattr(qprobe.doctor, "list_methods", lambda: (replace(METHOD, level="quick"),))
    found = diagnose()
    assert methods.tried == [("some-method", "cpu"), ("some-method", "cuda:0")]
    (late,) = [item for item in found.findings if item.id == "methods"]
    assert late.status == "skip"
    assert "some-method on cuda:1" in late.summary
    assert late.fix.commands == ("qprobe doctor some-method",)
    methods.tried.clear()
    diagnose(full=True)
    assert len(methods.tried) == 3, "whoever asks for all of them has the time"


def test_a_named_method_that_is_not_for_the_device_is_told(methods):
    found = diagnose("cuda:0", ("some-method", "cpu-method"))
    assert methods.tried == [("some-method", "cuda:0")]
    told = found.verdicts[-1]
    assert (told.method, told.device, told.verdict) == ("cpu-method", "cuda:0", "unsupported")
    assert "for cpu alone" in told.why
    assert [item.method for item in diagnose(only=("cpu-method",)).verdicts] == ["cpu-method"]


@pytest.mark.parametrize("personal", [False, True])
def test_whose_program_disturbed_is_told_to_its_owner_alone(methods, monkeypatch, personal):
    loads = iter(
        [
            Load(0, 0, 0, 0, {1: ("janes-secret", 0.0)}),
            Load(10, 1e3, 0, 0, {1: ("janes-secret", 1e3)}),
        ]
    )
    monkeypatch.setattr(disturbance, "read_load", lambda: next(loads))
    words = diagnose(full=True, personal=personal).disturbed_by
    assert "other programs used" in words
    assert ("janes-secret" in words) == personal
