"""Verdicts by rule on recorded machines: each says what the findings on the same machine say."""

from __future__ import annotations

import pytest

from qprobe.doctor import by_rule, devices_of, list_methods, run_checks
from qprobe.doctor.checks.gpu_torch import find_code
from qprobe.doctor.native import gpu_of
from qprobe.doctor.rules import bitsandbytes, hardware, libraries
from qprobe.doctor.trying import Trying
from tests.doctor.machines import NAMES, load, with_gpu, with_packages, with_software, with_torch

METHODS = {method.id: method for method in list_methods()}
PEERS = {
    "bitsandbytes": "0.50.2",
    "peft": "0.21.2",
    "torchao": "0.18.0",
    "compressed-tensors": "0.20.0",
}


def verdicts(machine, device):
    """Method → its verdict by rule, of those that are for the device and of which there is one."""
    kind = device.partition(":")[0]
    found = {
        name: by_rule(method, device, machine)
        for name, method in METHODS.items()
        if kind in method.devices
    }
    return {name: verdict for name, verdict in found.items() if verdict is not None}


def alone(machine, device):
    """The machine as if the device were the only one that is asked about."""
    gpus = tuple(gpu for gpu in machine.gpus if f"cuda:{gpu.index}" == device)
    return machine.model_copy(update={"gpus": gpus}) if gpus else machine


EVERYWHERE = [(name, device) for name in NAMES for device in devices_of(load(name))]


@pytest.mark.parametrize(("name", "device"), EVERYWHERE)
@pytest.mark.parametrize("packages", [{}, PEERS], ids=["as-recorded", "with-peers"])
def test_verdicts_and_findings_agree(name, device, packages):
    machine = with_packages(load(name), **{k.replace("-", "_"): v for k, v in packages.items()})
    findings = {finding.id: finding for finding in run_checks(alone(machine, device))}
    gpu, torch = gpu_of(machine, device), machine.software.torch
    found = verdicts(machine, device)
    for key, verdict in found.items():
        assert (verdict.method, verdict.device, verdict.evidence) == (key, device, "rule")
        assert not verdict.speeds
    there = {k: v for k, v in found.items() if v.verdict != "not_installed"}

    if gpu is not None and findings["gpu-torch"].status == "fail":
        word = "broken" if torch.cuda and find_code(torch, gpu) is None else "unsupported"
        assert {(v.verdict, v.why) for v in there.values()} == {
            (word, findings["gpu-torch"].summary)
        }
        return
    bnb = findings["peft-bitsandbytes"]
    told = f"{bnb.summary} {bnb.detail}"
    for key, verdict in there.items():
        method = METHODS[key]
        if verdict.verdict == "broken":
            assert bnb.status in ("fail", "warn"), key
            assert verdict.why.partition(" (")[0] in told
            continue
        assert gpu is not None, "a processor can do everything, if slowly"
        answer = hardware.how(method.feature, gpu)
        assert answer in ("slow", "absent"), key
        if answer == "slow":
            assert verdict.verdict == "slow", "slow is not absent"
            assert findings["gpu-arithmetic"].status == "warn"
        elif method.feature == "bf16":
            assert findings["gpu-bf16"].status == "warn"
            assert "emulated" in findings["gpu-bf16"].summary
        else:
            words = f"No {hardware.FEATURES[method.feature].words}"
            assert words in findings["gpu-arithmetic"].detail
        assert verdict.verdict != "unsupported" or method.without == "refuses"
    for key, method in METHODS.items():
        if gpu is None or key in found or "cuda" not in method.devices:
            continue
        assert hardware.how(method.feature, gpu) in (None, "native") if method.feature else True, (
            key
        )
    if bnb.status == "fail" and (gpu is not None or not machine.gpus):
        assert "broken" in {verdict.verdict for verdict in there.values()}


def test_the_founding_case_is_broken_with_its_cause_and_three_ways_out():
    machine = load("v100_old_peft")
    verdict = verdicts(machine, "cuda:0")["peft-merge-int8"]
    assert verdict.verdict == "broken"
    assert verdict.why.startswith(
        "merging a LoRA ends in `igemmlt not available` (peft 0.10.0, bitsandbytes 0.43.1); "
        "Tesla V100-SXM2-16GB (7.0) has no int8 on tensor cores"
    )
    assert all(f"({number}) " in verdict.fix.text for number in (1, 2, 3))
    (finding,) = run_checks(machine, ["peft-bitsandbytes"])
    assert finding.detail.startswith(verdict.detail)
    assert finding.fix.text.startswith(verdict.fix.text)


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("v100_old_peft", "bitsandbytes-int8", ("slow", "falls back to float16")),
        ("v100_cu126_torch", "bitsandbytes-int8", ("slow", "has no fallback on this card")),
        ("v100_cu126_torch", "qprobe-w8a8", ("works", "dp4a")),
        ("gtx_1660", "qprobe-w8a8", ("works", "dp4a")),
        ("v100_cu126_torch", "torch-int8pack", ("slow", "bfloat16 is emulated")),
        ("v100_cu126_torch", "torch-int4pack", ("unsupported", "native: from 8.0 (A100) on")),
        ("v100_cu126_torch", "torch-int-mm", ("unsupported", "native: 7.2")),
        ("b300", "torch-int-mm", ("slow", "is slow in int8")),
        ("b300", "qprobe-w8a8", ("slow", "is slow in int8")),
        ("b300", "bitsandbytes-int8", ("slow", "is slow in int8")),
        ("a10g", "torch-scaled-mm", ("unsupported", "no float8")),
        ("a10g", "qprobe-fp8-dynamic", ("slow", "written out in 16 bits")),
        ("p40", "bitsandbytes-nf4", ("broken", "no code for sm_61")),
    ],
)
def test_what_becomes_of_a_method_without_its_hardware(name, method, expected):
    verdict = verdicts(load(name), "cuda:0")[method]
    assert verdict.verdict == expected[0]
    assert expected[1] in verdict.why


@pytest.mark.parametrize(
    "method", ["qprobe-w8a8", "torch-int-mm", "torch-int4pack", "qprobe-w4a16"]
)
def test_of_a_card_that_has_everything_nothing_is_said(method):
    assert method not in verdicts(load("h100_cu13"), "cuda:0")


def test_libraries_without_code_for_the_card_break_every_method_of_theirs():
    """Where torch itself has it: bitsandbytes follows the CUDA of torch."""
    machine = with_gpu(load("t4"), compute_capability="7.0", name="Tesla V100-SXM2-16GB")
    machine = with_torch(machine, arch_list=("sm_70", "sm_75"))
    found = verdicts(
        with_packages(machine, **{"bitsandbytes": "0.50.2", "peft": "0.21.2"}), "cuda:0"
    )
    broken = {name for name, verdict in found.items() if verdict.verdict == "broken"}
    assert broken == {
        "bitsandbytes-fp4", "bitsandbytes-int8", "bitsandbytes-nf4", "peft-merge-int8",
        "peft-merge-nf4",
    }  # fmt: skip
    assert "no code for this card" in found["bitsandbytes-nf4"].why


def test_a_merge_on_a_processor_is_broken_as_its_finding_says():
    verdict = verdicts(load("xeon_amx"), "cpu")["peft-merge-nf4"]
    assert (verdict.verdict, verdict.evidence) == ("broken", "rule")


def test_only_one_of_two_cards_is_judged_by_what_it_lacks():
    machine = load("v100_cu126_torch")
    other = machine.gpus[0].model_copy(
        update={
            "index": 1,
            "device": "cuda:1",
            "name": "NVIDIA A100-SXM4-40GB",
            "compute_capability": "8.0",
        }
    )
    both = with_torch(
        machine.model_copy(update={"gpus": (*machine.gpus, other)}), arch_list=("sm_70", "sm_80")
    )
    seen = both.fingerprints | {"cuda:1": both.fingerprints["cuda:0"]}
    both = both.model_copy(update={"fingerprints": seen})
    assert "torch-int-mm" in verdicts(both, "cuda:0")
    assert "torch-int-mm" not in verdicts(both, "cuda:1")


def hidden(machine):
    kept = {"cpu": machine.fingerprints["cpu"]}
    machine = machine.model_copy(update={"fingerprints": kept})
    return with_software(machine, environment={"CUDA_VISIBLE_DEVICES": ""})


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (load("gpu_with_cpu_torch"), "torch is built without CUDA"),
        (load("old_driver"), "the driver is too old for CUDA 13.0"),
        (load("v100_cu13_torch"), "this torch has no code for sm_70"),
        (hidden(load("h100_cu13")), "CUDA_VISIBLE_DEVICES hides every GPU"),
    ],
    ids=["without CUDA", "old driver", "no code", "hidden"],
)
def test_what_torch_cannot_use_is_not_tried(machine, why, monkeypatch):
    """A run on the machine itself says what a run on its record says."""
    monkeypatch.delattr("qprobe.doctor.execution.nursery.Nursery.run")
    method = METHODS["qprobe-w8a16"]
    with Trying(machine, is_full=False) as trying:
        verdict = trying.verdict(method, "cuda:0")
    assert verdict == by_rule(method, "cuda:0", machine)
    assert verdict.why == why
    assert verdict.fix.commands


def test_every_fault_that_a_method_names_is_a_rule():
    known = {fault.id for fault in (*bitsandbytes.FAULTS, *libraries.FAULTS)}
    named = {name for method in METHODS.values() for name in method.faults}
    assert named
    assert named <= known


def test_what_says_what_it_does_without_a_feature_has_one():
    for method in METHODS.values():
        assert method.feature or not method.fallback, method.id
        if method.feature and method.without != "refuses":
            assert method.fallback, method.id
