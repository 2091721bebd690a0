from __future__ import annotations

import pytest

import qprobe.doctor
import qprobe.probe
from qprobe.documents.files import save_document
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
    monkeypatch.setattr(qprobe.probe, "probe_machine", lambda: here)
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
