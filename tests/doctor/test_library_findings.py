"""Known faults of libraries: the founding case, what remains of it, and the others."""

from __future__ import annotations

import re
import shlex

import pytest

from qprobe.doctor import run_checks
from qprobe.doctor.rules import bitsandbytes
from qprobe.doctor.rules.faults import find_faults
from qprobe.doctor.rules.versions import matches
from tests.doctor.machines import load, with_packages, with_torch
from tests.doctor.test_findings import find
from tests.machines.parts import GPUS

OLD = {"peft": "0.10.0", "bitsandbytes": "0.43.1"}


def test_the_founding_case_names_cause_versions_and_lack():
    finding = find(load("v100_old_peft"), "peft-bitsandbytes")
    assert finding.status == "fail"
    for words in (
        "peft 0.10.0, bitsandbytes 0.43.1; wanted: peft 0.14 or later",
        "multiplying with an identity matrix, through igemmlt",
        "no int8 tensor cores on Tesla V100-SXM2-16GB; they are native on 7.2 (Xavier) to 10.0",
        "Modelled from the data sheet",
    ):
        assert words in finding.detail
    assert "issues/1242" in finding.fix.link


def test_the_founding_case_has_three_ways_out_in_order():
    finding = find(load("v100_old_peft"), "peft-bitsandbytes")
    ways = re.split(r"\((\d)\) ", finding.fix.text)
    assert ways[1::2] == ["1", "2", "3"]
    upgrade, merge, weights = ways[2::2]
    assert "beside bitsandbytes 0.44" in upgrade
    assert "before quantizing" in merge
    assert "NF4" in weights
    assert "W8A16" in weights
    assert finding.fix.labels == ("(1)", "(2)", "(3)")
    first, second, third = finding.fix.commands
    assert first == bitsandbytes.KEEP_FALLBACK
    assert "merge_and_unload" in second
    assert third == "qprobe bench --device cuda:0"


@pytest.mark.parametrize(("name", "is_kept"), [("v100_cu126_torch", True), ("t4", False)])
def test_what_bitsandbytes_removed_is_mended_so_that_int8_runs_on_the_card(name, is_kept):
    finding = find(
        with_packages(load(name), peft="0.13.2", bitsandbytes="0.50.2"), "peft-bitsandbytes"
    )
    assert finding.summary == "merging a LoRA calls what bitsandbytes removed"
    assert (bitsandbytes.KEEP_FALLBACK in finding.fix.commands) == is_kept
    assert any("bitsandbytes>=0.48" in command for command in finding.fix.commands) != is_kept
    assert finding.detail.count("Only row-major") == 1


def test_a_library_that_is_missing_comes_before_what_would_fail_with_it():
    machine = with_packages(load("v100_cu126_torch"), peft="0.10.0", bitsandbytes="0.44.1")
    finding = find(machine, "peft-bitsandbytes")
    assert finding.fix.text.startswith("First: Name the library for CUDA 12.4")
    assert "Then: In this order:\n(1) Upgrade PEFT" in finding.fix.text
    assert "Besides: merging a LoRA ends in `igemmlt not available`" in finding.detail
    assert finding.fix.labelled()[0] == ("", "export BNB_CUDA_VERSION=124")
    assert finding.fix.labels == ("", "or", "(1)", "(2)", "(3)")


def test_nothing_in_the_founding_case_leads_to_a_bitsandbytes_without_fallback():
    """Neither the cause nor what is told beside it installs bitsandbytes 0.45, or transformers 5 there."""
    machine = load("v100_old_peft")
    for finding in run_checks(machine):
        for command in finding.fix.commands if finding.fix else ():
            _program, *words = shlex.split(command)
            if not command.startswith("pip install"):
                continue
            wanted = dict(re.findall(r"^(\w+)(\S*)$", word)[0] for word in words if ">" in word)
            assert matches("0.44.1", wanted.get("bitsandbytes", ""))
            assert not matches("0.45.0", wanted.get("bitsandbytes", "<0.45"))
            assert not matches("5.0", wanted.get("transformers", "<5"))
            assert "qprobe[hf]" not in words


def test_what_the_founding_case_installs_is_one_of_the_cures():
    """After the first command the merge has no known fault left, and int8 its float16."""
    machine = with_packages(
        load("v100_old_peft"), peft="0.17.1", bitsandbytes="0.44.1", transformers="4.57.6"
    )
    finding = find(machine, "peft-bitsandbytes")
    assert (finding.status, finding.summary) == (
        "warn",
        "LLM.int8() falls back to float16 on this card",
    )
    assert "do not upgrade it here" in find(machine, "hf").summary


@pytest.mark.parametrize(
    ("name", "bnb", "transformers", "is_warned"),
    [
        ("v100_old_peft", "0.43.1", "4.40.2", True),
        ("p40", "0.44.1", "4.57.6", True),
        ("gtx_1660", "0.44.1", "4.57.6", True),
        ("v100_old_peft", "0.50.2", "4.57.6", False),
        ("v100_old_peft", None, "4.57.6", False),
        ("v100_old_peft", "0.44.1", None, False),
        ("h100_cu13", "0.44.1", "4.57.6", False),
        ("xeon_amx", "0.44.1", "4.57.6", False),
    ],
    ids=str,
)
def test_transformers_is_upgraded_only_where_int8_keeps_running(name, bnb, transformers, is_warned):
    machine = with_packages(load(name), bitsandbytes=bnb, transformers=transformers)
    finding = find(machine, "hf")
    assert finding.status == "warn"
    assert ("do not upgrade" in finding.summary) == is_warned
    assert any(c.startswith("python -m venv") for c in finding.fix.commands) == is_warned


@pytest.mark.parametrize(
    ("name", "peft", "bnb", "status", "words"),
    [
        ("v100_old_peft", "0.10.0", "0.43.1", "fail", "`igemmlt not available`"),
        ("v100_old_peft", "0.13.2", "0.44.1", "fail", "`igemmlt not available`"),
        ("p40", "0.13.2", "0.44.1", "fail", "no library for the CUDA of torch"),
        ("gtx_1660", "0.13.2", "0.44.1", "fail", "no library for CUDA 13"),
        ("gtx_1660_cu124", "0.13.2", "0.44.1", "fail", "int8 products that are not there"),
        ("v100_old_peft", "0.13.2", "0.45.0", "fail", "what bitsandbytes removed"),
        ("h100_cu13", "0.13.2", "0.50.2", "fail", "what bitsandbytes removed"),
        ("xeon_amx", "0.13.2", "0.50.2", "fail", "what bitsandbytes removed"),
        ("h100_cu13", "0.13.2", "0.44.1", "fail", "no library for CUDA 13"),
        ("t4_cu124", "0.13.2", "0.44.1", "warn", "only on cards like this one"),
        ("v100_cu126_torch", "0.17.1", "0.44.1", "fail", "no library for the CUDA of torch"),
        ("v100_cu126_torch", "0.13.2", "0.44.1", "fail", "no library for the CUDA of torch"),
        ("v100_cu126_torch_cu124", "0.13.2", "0.44.1", "fail", "`igemmlt not available`"),
        ("t4", "0.21.2", "0.47.0", "fail", "no library for CUDA 13"),
        ("t4", "0.21.2", "0.48.0", "ok", "bitsandbytes 0.48.0"),
        ("v100_old_peft", "0.14.0", "0.43.1", "warn", "falls back to float16"),
        ("v100_old_peft", None, "0.44.1", "warn", "falls back to float16"),
        ("v100_cu126_torch", "0.21.2", "0.45.0", "warn", "no fallback"),
        ("v100_cu126_torch", None, "0.50.2", "warn", "no fallback"),
        ("gtx_1660", "0.21.2", "0.50.2", "warn", "no fallback"),
        ("v100_cu13_torch", "0.21.2", "0.50.2", "fail", "CUDA 13 library"),
        ("p40", "0.21.2", "0.50.2", "fail", "CUDA 12.8 library"),
        ("t4", "0.21.2", "0.50.2", "ok", "bitsandbytes 0.50.2"),
        ("h100_cu13", "0.21.2", "0.50.2", "ok", "bitsandbytes 0.50.2"),
        ("xeon_amx", "0.21.2", "0.50.2", "warn", "NF4 only before use"),
        ("xeon_amx", None, "0.50.2", "ok", "bitsandbytes 0.50.2"),
        ("b300", "0.21.2", "0.50.2", "warn", "LLM.int8() is slow on this card"),
        ("b200", "0.21.2", "0.50.2", "ok", "bitsandbytes 0.50.2"),
        ("h100_cu13", "0.21.2", None, "skip", "not installed"),
        ("h100_cu13", "0.21.2", "unknown", "ok", "unknown"),
    ],
)
def test_bitsandbytes_and_peft_by_version_and_card(name, peft, bnb, status, words):
    machine = load(name.removesuffix("_cu124"))
    if name.endswith("_cu124"):
        machine = with_torch(machine, cuda="12.4")
    finding = find(with_packages(machine, peft=peft, bitsandbytes=bnb), "peft-bitsandbytes")
    assert finding.status == status
    assert words in finding.summary


@pytest.mark.parametrize(
    ("name", "packages", "words"),
    [
        ("v100_cu126_torch", {"torchao": "0.17.0"}, "torchao's int4"),
        ("t4", {"torchao": "0.17.0"}, "torchao's int4"),
        ("t4", {"gemlite": "0.5.1"}, "no tensor cores"),
        ("b300", {"torchao": "0.18.0"}, "int8 products are slow"),
        ("v100_cu126_torch", {"vllm": "0.33.0"}, "vLLM refuses"),
        ("p40", {"vllm": "0.33.0"}, "vLLM is not for cards before 7.0"),
        ("h100_cu13", {"pynvml": "11.5.3"}, "two packages"),
        ("h100_cu13", {"onnxruntime": "1.26.0", "onnxruntime_gpu": "1.26.0"}, "two ONNX"),
    ],
    ids=str,
)
def test_faults_of_other_libraries(name, packages, words):
    machine = with_packages(load(name), **packages)
    finding = find(machine, "libraries")
    assert finding.status == "warn"
    assert words in finding.summary
    assert all(version in finding.detail for version in packages.values())


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("a10g", {"torchao": "0.17.0", "gemlite": "0.5.1", "vllm": "0.33.0"}),
        ("t4", {"vllm": "0.33.0"}),
        ("h100_cu13", {"pynvml": "13.0.1"}),
        ("h100_cu13", {"onnxruntime": "1.26.0"}),
        ("epyc_avx2", {"torchao": "0.17.0", "gemlite": "0.5.1"}),
    ],
    ids=str,
)
def test_no_fault_where_the_card_or_the_version_is_another(name, packages):
    assert find(with_packages(load(name), **packages), "libraries").status == "ok"


def test_several_faults_are_told_in_one_finding():
    machine = with_packages(load("v100_cu126_torch"), torchao="0.17.0", vllm="0.33.0")
    finding = find(machine, "libraries")
    assert "torchao 0.17.0" in finding.detail
    assert "Besides: vLLM refuses" in finding.detail
    assert "llm-compressor/issues/1258" in finding.detail


def test_no_method_of_vllm_is_advised_to_a_card_that_it_is_not_for():
    fix = find(with_packages(load("p40"), vllm="0.33.0"), "libraries").fix
    assert "GPTQ" not in fix.text
    assert "bitsandbytes" not in fix.text


def test_each_of_several_faults_is_mended():
    packages = {"pynvml": "11.5.3", "onnxruntime": "1.26.0", "onnxruntime_gpu": "1.26.0"}
    finding = find(with_packages(load("h100_cu13"), **packages), "libraries")
    assert finding.fix.text.startswith("First: Remove the old one.\nThen: Keep the one for the GPU")
    assert [command.split()[3] for command in finding.fix.commands[::2]] == [
        "pynvml",
        "onnxruntime",
    ]


def test_a_fault_that_fails_comes_before_one_that_warns():
    hits = find_faults(load("v100_old_peft"), reversed(bitsandbytes.FAULTS))
    assert [hit.fault.status for hit in hits] == ["fail", "warn"]


def beside_each_other(*names):
    cards = [GPUS[name].model_copy(update={"index": index}) for index, name in enumerate(names)]
    return load("h100_cu13").model_copy(update={"gpus": tuple(cards)})


def test_a_card_of_several_that_has_the_fault_is_found_and_commands_name_it():
    machine = beside_each_other("h100", "v100")
    finding = find(with_packages(machine, torchao="0.18.0"), "libraries")
    assert "On GPU 1 (Tesla V100-SXM2-16GB) they miss" in finding.detail
    assert finding.fix.commands == ("qprobe bench --device cuda:1",)


def test_every_kind_of_card_that_has_the_fault_is_named_once_with_its_cost_and_its_command():
    machine = beside_each_other("v100", "h100", "p40", "v100")
    machine = with_torch(with_packages(machine, bitsandbytes="0.50.2"), cuda="12.6")
    finding = find(machine, "peft-bitsandbytes")
    assert "none on GPUs 0 and 3 (Tesla V100-SXM2-16GB) and GPU 2 (Tesla P40)" in finding.detail
    assert "H100" not in finding.detail
    costs = re.findall(r"^(.*): Modelled .* (W8A16 \d+ µs), W4A16", finding.detail, re.MULTILINE)
    assert [name for name, _ in costs] == ["Tesla V100-SXM2-16GB", "Tesla P40"]
    assert len({cost for _, cost in costs}) == 2
    assert finding.fix.commands == (
        "qprobe bench --device cuda:0",
        "qprobe bench --device cuda:2",
    )
