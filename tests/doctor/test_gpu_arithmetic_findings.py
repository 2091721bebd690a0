"""What the cards multiply in hardware, each kind by itself."""

from __future__ import annotations

import pytest

from tests.doctor.machines import load, with_gpu
from tests.doctor.test_findings import find
from tests.machines.parts import GPUS


@pytest.mark.parametrize(
    ("name", "capability", "status", "words"),
    [
        ("NVIDIA H100 80GB HBM3", "9.0", "ok", "int8, float8"),
        ("Tesla V100-SXM2-16GB", "7.0", "ok", "tensor cores: float16"),
        ("Tesla P100-SXM2-16GB", "6.0", "ok", "no tensor cores"),
        ("Tesla P40", "6.1", "ok", "no tensor cores; int8 by dp4a"),
        ("NVIDIA GeForce GTX 1650", "7.5", "warn", "whatever 7.5 promises"),
        ("NVIDIA T1000 8GB", "7.5", "warn", "whatever 7.5 promises"),
        ("NVIDIA GeForce MX450", "7.5", "warn", "whatever 7.5 promises"),
        ("NVIDIA GeForce MX550", "7.5", "warn", "whatever 7.5 promises"),
        ("Tesla T4", "7.5", "ok", "int4"),
        ("Quadro RTX 4000", "7.5", "ok", "int4"),
        ("NVIDIA GB300", "10.3", "warn", "instructions of older cards"),
        ("NVIDIA B200", "10.0", "ok", "float4"),
        ("Rubin", "10.7", "skip", "not in the table"),
        ("Unknown", None, "skip", "unknown"),
    ],
)
def test_arithmetic_by_card(name, capability, status, words):
    machine = with_gpu(load("h100_cu13"), name=name, compute_capability=capability)
    finding = find(machine, "gpu-arithmetic")
    assert finding.status == status
    assert words in finding.summary


def test_what_a_card_lacks_comes_with_who_has_it_and_what_to_use_here():
    detail = find(load("v100_cu126_torch"), "gpu-arithmetic").detail
    assert "No int8 on tensor cores, native on 7.2 (Xavier) to 10.0 (B200)" in detail
    assert "use weights alone in 8 or 4 bits" in detail
    assert "512 rows: float16 137 µs, W8A16 193 µs" in detail


def with_cards(*names):
    cards = [GPUS[name].model_copy(update={"index": index}) for index, name in enumerate(names)]
    return load("h100_cu13").model_copy(update={"gpus": tuple(cards)})


def test_each_feature_that_a_card_lacks_has_a_line():
    for name in ("v100_cu126_torch", "gtx_1660", "b300"):
        lines = find(load(name), "gpu-arithmetic").detail.splitlines()
        assert all(line.count("No ") <= 1 for line in lines)
        assert any(
            line.startswith("No int4 on tensor cores") or "No int8" in line for line in lines
        )


def test_each_kind_of_card_is_judged():
    finding = find(with_cards("h100", "gtx-1660", "h100"), "gpu-arithmetic")
    assert (finding.status, finding.summary) == (
        "warn",
        "GPU 1: no tensor cores, whatever 7.5 promises",
    )
    assert "GPUs 0 and 2 (NVIDIA H100 80GB HBM3): tensor cores: float16" in finding.detail
    assert finding.fix.commands == ("qprobe bench --device cuda:1",)
    alike = find(with_cards("h100", "h100"), "gpu-arithmetic")
    assert alike == find(load("h100_cu13"), "gpu-arithmetic")
    assert find(with_cards("h100", "l4"), "gpu-arithmetic").summary == (
        "differs between 2 kinds of cards"
    )


def test_bf16_is_looked_up_for_each_kind_of_card():
    finding = find(with_cards("h100", "v100", "p40", "p40"), "gpu-bf16")
    assert "GPU 1 (Tesla V100-SXM2-16GB) and GPUs 2 and 3 (Tesla P40)" in finding.detail
    first, second = finding.fix.text.splitlines()
    assert first.startswith("GPU 1 (Tesla V100-SXM2-16GB): Load models in float16")
    assert second.startswith("GPUs 2 and 3 (Tesla P40): Load models in float32")


def test_a_card_that_no_table_knows_gets_no_modelled_figure():
    machine = with_gpu(load("v100_cu126_torch"), name="Tesla V100-DGXS-32GB")
    assert "Modelled" not in find(machine, "gpu-arithmetic").detail


def test_a_slice_of_a_card_gets_no_modelled_figure():
    assert "Modelled" not in find(load("a100_mig"), "gpu-arithmetic").detail


@pytest.mark.parametrize(
    ("capability", "status", "better"),
    [
        ("6.0", "warn", "float16"),
        ("6.1", "warn", "float32"),
        ("7.0", "warn", "float16"),
        ("7.5", "warn", "float16"),
        ("8.0", "ok", ""),
        ("12.1", "ok", ""),
        ("99.0", "skip", ""),
    ],
)
def test_bf16_on_the_gpu(capability, status, better):
    machine = with_gpu(load("h100_cu13"), compute_capability=capability)
    finding = find(machine, "gpu-bf16")
    assert finding.status == status
    assert better in (finding.fix.text if finding.fix else "")
