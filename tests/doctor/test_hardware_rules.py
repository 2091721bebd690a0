"""What is known of cards: what they compute, how fast their data sheets say, and what that models."""

from __future__ import annotations

import re

import pytest

from qprobe.doctor.rules.cards import CARDS, find_card
from qprobe.doctor.rules.cost import FEW, MANY, model_seconds, tell_cost
from qprobe.doctor.rules.hardware import EXAMPLES, FEATURES, how, lacks, native_on
from qprobe.doctor.rules.nvrtc import architectures_of, find_versions
from qprobe.documents import arch
from qprobe.documents.scheme import SCHEMES
from tests.machines.parts import GPUS, gpu


def card(name="Some card", capability="9.0", **changes):
    return gpu(name, capability, 100, 24, 300.0, **changes)


@pytest.mark.parametrize(
    ("feature", "capabilities"),
    [
        ("fp16", "7.0 7.2 7.5 8.0 8.6 8.7 8.9 9.0 10.0 10.3 11.0 12.0 12.1"),
        ("bf16", "8.0 8.6 8.7 8.9 9.0 10.0 10.3 11.0 12.0 12.1"),
        ("int8", "7.2 7.5 8.0 8.6 8.7 8.9 9.0 10.0 11.0 12.0 12.1"),
        ("fp8", "8.9 9.0 10.0 10.3 11.0 12.0 12.1"),
        ("fp4", "10.0 10.3 11.0 12.0 12.1"),
        ("int4", "7.5 8.0 8.6 8.7 8.9"),
    ],
)
def test_who_has_what(feature, capabilities):
    have = [c for c in arch.CAPABILITIES if how(feature, card(capability=c)) == "native"]
    assert have == capabilities.split()


def test_int8_of_b300_is_slow_and_not_lacking():
    assert how("int8", card(capability="10.3")) == "slow"
    assert not lacks("int8", card(capability="10.3"))


@pytest.mark.parametrize("feature", FEATURES)
def test_what_the_table_does_not_know_is_not_called_lacking(feature):
    for capability in (None, "10.7", "99.0"):
        assert how(feature, card(capability=capability)) is None
        assert not lacks(feature, card(capability=capability))


@pytest.mark.parametrize("feature", FEATURES)
def test_small_turing_has_none_of_it(feature):
    assert how(feature, card("NVIDIA GeForce GTX 1660 SUPER", "7.5")) == "absent"


def test_the_instructions_of_the_features_are_in_the_table():
    for feature in FEATURES.values():
        assert set(feature.instructions) <= set(arch.FEATURES)
        assert set(feature.schemes) <= set(SCHEMES)
    assert set(EXAMPLES) == set(arch.CAPABILITIES)


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ("bf16", "from 8.0 (A100) on"),
        ("int4", "7.5 (T4) to 8.9 (L4)"),
        ("int8", "7.2 (Xavier) to 10.0 (B200) and from 11.0 (Thor) on"),
    ],
)
def test_who_has_it_in_words(feature, words):
    assert native_on(feature) == words


def test_a_chip_that_lacks_what_its_number_promises_is_told_apart():
    odd, plain = card("NVIDIA GeForce GTX 1660", "7.5"), card("Tesla T4", "7.5")
    assert native_on("int4", odd) == (
        "7.5 (T4) to 8.9 (L4), but not on this chip, although its number is 7.5"
    )
    assert native_on("int4", plain) == native_on("int4")
    assert native_on("bf16", odd) == native_on("bf16")  # which none of its number has
    assert native_on("int4", card("Tesla V100", "7.0")) == native_on("int4")


@pytest.mark.parametrize("row", CARDS, ids=lambda row: row.name)
def test_a_row_of_a_card_is_plausible(row):
    assert 1e11 < row.bandwidth_bytes_per_s < 1e13
    assert row.ops_per_s["float16"] > 1e12
    for unit, rate in row.ops_per_s.items():
        assert 1 <= rate / row.ops_per_s["float16"] <= 4.1 or unit == "int8", unit
    assert re.compile(row.name)
    assert re.fullmatch(r"https://[\w.-]+/\S+", row.source)


@pytest.mark.parametrize(
    ("name", "gb_per_s"),
    [
        ("Tesla V100-PCIE-16GB", 900),
        ("Tesla V100-PCIE-32GB", 900),
        ("NVIDIA A100 80GB PCIe", 1935),
        ("NVIDIA GeForce GTX 1660", 192),
        ("NVIDIA GeForce GTX 1660 Ti", 288),
    ],
)
def test_cards_by_the_name_that_the_driver_tells(name, gb_per_s):
    assert find_card(card(name)).bandwidth_bytes_per_s == gb_per_s * 1e9


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GH200 480GB", "NVIDIA H100 NVL", "NVIDIA GB10",
        "Tesla V100S-PCIE-32GB", "NVIDIA GeForce GTX 1660 SUPER", "NVIDIA GeForce GTX 1650",
        "NVIDIA GeForce GTX 1660 Ti with Max-Q Design", "NVIDIA T400", "NVIDIA A100-SXM-64GB", "Quadro P400", "",
    ],
)  # fmt: skip
def test_cards_of_like_names_and_other_rates_are_not_taken_for_those_of_the_table(name):
    assert find_card(card(name)) is None


def test_the_cards_of_the_recorded_machines_are_found():
    found = {name for name, facts in GPUS.items() if find_card(facts)}
    assert set(GPUS) - found == {"a100-mig", "gb10"}


@pytest.mark.parametrize("row", CARDS, ids=lambda row: row.name)
def test_fewer_bits_are_faster_at_one_row_and_cost_a_pass_at_many(row):
    few = [model_seconds(row, name, FEW) for name in ("FP16", "W8A16", "W4A16")]
    assert few == sorted(few, reverse=True)
    assert few[0] / few[2] == pytest.approx(3.8, abs=0.2)
    assert model_seconds(row, "W4A16", MANY) > model_seconds(row, "FP16", MANY)


def test_a_modelled_time_by_hand():
    v100 = find_card(card("Tesla V100-SXM2-16GB", "7.0"))
    moved = 2 * 4096 * 4096 + 2 * (4096 + 4096)
    assert model_seconds(v100, "FP16", 1) == pytest.approx(moved / 900e9)
    product = 2 * 512 * 4096 * 4096 / 125e12
    assert model_seconds(v100, "FP16", 512) == pytest.approx(product)
    written = SCHEMES["W8A16"].weight_bytes(4096, 4096, "float16") + 2 * 4096 * 4096
    assert model_seconds(v100, "W8A16", 512) == pytest.approx(product + written / 900e9)


def test_a_scheme_without_a_rate_is_left_out():
    v100 = card("Tesla V100-SXM2-16GB", "7.0")
    assert "FP8" not in tell_cost(v100, ("FP8_DYNAMIC", "W8A16"))
    assert tell_cost(v100, ()) == ""


@pytest.mark.parametrize(
    ("version", "has", "lacks_"),
    [
        ("11.8", "7.0 9.0", "10.0"),
        ("12.4", "5.0 7.0 9.0", "10.0"),
        ("12.8", "7.0 12.0", "12.1"),
        ("12.9", "5.0 7.0 10.3 12.1", "11.0"),
        ("13.0", "7.5 11.0", "7.0 7.2 10.7"),
        ("13.5", "10.7", "7.0"),
        ("11.2", "", "7.0"),
        ("", "", "7.0"),
    ],
)
def test_what_nvrtc_builds_for_by_its_version(version, has, lacks_):
    built = architectures_of(version)
    assert set(has.split()) <= set(built)
    assert not set(lacks_.split()) & set(built)


def test_versions_of_nvrtc_by_package():
    packages = {"nvidia-cuda-nvrtc": "13.0.88", "nvidia-cuda-nvrtc-cu12": "unknown", "numpy": "2.4"}
    assert find_versions(packages) == ("13.0",)
