"""What torch calls a card, where the driver counts them otherwise."""

from __future__ import annotations

import pytest

from qprobe.doctor import by_rule, devices_of, run_checks
from qprobe.doctor._method import Method
from qprobe.doctor.native import lack_of
from qprobe.documents.machine import Machine
from qprobe.flow import methods
from qprobe.flow.diagnose import _narrow
from qprobe.render.verdicts import device_name
from tests.doctor.machines import load, with_software
from tests.doctor.test_findings import find

METHOD = Method("some-method", "Some", 8, "int8", lambda _report: None)
V100, H100 = load("v100_cu126_torch").gpus[0], load("h100_cu13").gpus[0]


def two_cards(*devices: str | None, **environment: str) -> Machine:
    """A V100, then an H100, by the driver; torch calls them as given, and a build has code for both."""
    cards = tuple(
        card.model_copy(update={"index": index, "device": device})
        for index, (card, device) in enumerate(zip((V100, H100), devices, strict=True))
    )
    machine = load("v100_cu126_torch")
    card = machine.fingerprints["cuda:0"]
    prints = {gpu.device: card.model_copy(update={"name": gpu.name}) for gpu in cards if gpu.device}
    kept = {"cpu": machine.fingerprints["cpu"]} | prints
    machine = machine.model_copy(update={"gpus": cards, "fingerprints": kept})
    return with_software(machine, environment=environment)


SECOND_ALONE = two_cards(None, "cuda:0", CUDA_VISIBLE_DEVICES="1")
IN_TURN = two_cards("cuda:1", "cuda:0")


@pytest.mark.parametrize("machine", [SECOND_ALONE, IN_TURN])
def test_a_device_is_the_card_that_torch_means(machine):
    assert machine.devices["cuda:0"].name == H100.name
    assert lack_of("int8", machine, "cuda:0") == ""
    assert device_name(machine, "cuda:0") == H100.name
    assert [gpu.index for gpu in _narrow(machine, "cuda:0").gpus] == [1]
    assert find(_narrow(machine, "cuda"), "gpu-bf16").status == "ok"


def test_only_what_torch_has_is_tried():
    assert devices_of(SECOND_ALONE) == ("cpu", "cuda:0")
    assert sorted(devices_of(IN_TURN)) == ["cpu", "cuda:0", "cuda:1"]


def test_the_driver_is_asked_about_the_card_that_torch_means(monkeypatch):
    asked = []
    monkeypatch.setattr("qprobe.probe.state.read_state", asked.append)

    class Given:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def verdict(self, method, device):
            return by_rule(method, device, load("v100_cu13_torch"))

    monkeypatch.setattr("qprobe.doctor.Trying", Given)
    methods.try_methods(
        SECOND_ALONE,
        [(METHOD, "cuda:0")],
        is_full=True,
        end=None,
        names=False,
        progress=lambda *_: None,
    )
    assert set(asked) == {1}


def test_a_machine_that_was_recorded_without_their_names_has_the_drivers_numbers():
    machine = two_cards(None, None)
    assert machine.devices == {"cuda:0": machine.gpus[0], "cuda:1": machine.gpus[1]}


def test_cards_that_are_counted_in_another_order_are_told():
    finding = find(IN_TURN, "gpu-torch")
    assert (finding.status, finding.summary) == ("warn", "torch counts the GPUs in another order")
    assert finding.detail.startswith(f"cuda:0 is {H100.name}, GPU 0 of the driver is {V100.name}")


def test_cards_that_are_hidden_are_told_and_not_judged():
    machine = two_cards(None, "cuda:0", CUDA_VISIBLE_DEVICES="1")
    crowded = machine.gpus[0].model_copy(update={"compute_mode": "exclusive", "processes": 1})
    machine = machine.model_copy(update={"gpus": (crowded, machine.gpus[1])})
    found = {item.id: item for item in run_checks(machine)}
    assert found["gpu"].summary.startswith(H100.name)
    assert "more" not in found["gpu"].summary
    assert "CUDA_VISIBLE_DEVICES hides 0 from" in found["gpu"].detail
    for name in ("gpu-torch", "gpu-memory", "gpu-bf16", "nvrtc", "cupy"):
        assert found[name].status == "ok", name
    assert not any(V100.name in str(item) for name, item in found.items() if name != "gpu")


def test_what_torch_does_not_tell_is_not_called_hidden():
    assert two_cards(None, None, CUDA_VISIBLE_DEVICES="").hidden == ()
    assert two_cards(None, "cuda:0").hidden == ()
    machine = two_cards(None, "cuda:0", CUDA_VISIBLE_DEVICES="0,1")
    words = {"fingerprints.cuda:1": "CUDA error: out of memory"}
    machine = machine.model_copy(update={"unanswered": words})
    assert machine.hidden == ()
    assert find(machine, "gpu-torch").status == "fail"


@pytest.mark.parametrize("environment", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_a_cuda_that_does_not_start_is_told_in_its_own_words(environment):
    words = "Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized"
    machine = with_software(load("h100_cu13"), environment=environment)
    gpus = (machine.gpus[0].model_copy(update={"device": None}),)
    machine = machine.model_copy(
        update={"gpus": gpus, "fingerprints": {}, "unanswered": {"fingerprints.cuda:0": words}}
    )
    finding = find(machine, "gpu-torch")
    assert (finding.status, finding.summary) == ("fail", "torch sees 0 of 1 GPUs")
    assert words in finding.detail


@pytest.mark.parametrize(
    "name", ["h100_cu13", "container_without_gpu", "gpu_without_driver", "epyc_avx2"]
)
def test_who_asks_about_the_processor_is_told_nothing_of_gpus(name):
    machine = load(name)
    silent = machine.unanswered | {"gpus": "RM has detected an NVML/RM version mismatch."}
    for asked in (machine, machine.model_copy(update={"unanswered": silent})):
        found = {item.id: item for item in run_checks(_narrow(asked, "cpu"))}
        assert (found["gpu"].status, found["gpu"].summary) == (
            "skip",
            "not asked about: the device is the CPU",
        )
        assert found["container"].status == "ok"
        assert "fail" not in {item.status for item in found.values()}


def test_a_lost_card_is_no_matter_of_the_processor():
    machine = load("h100_cu13").model_copy(
        update={"unanswered": {"gpus.0.processes": "GPU is lost"}}
    )
    assert find(machine, "gpu").status == "fail"
    assert find(_narrow(machine, "cpu"), "gpu").status == "skip"
