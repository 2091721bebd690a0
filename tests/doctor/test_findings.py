"""The findings that matter most, on the machines that they matter on."""

from __future__ import annotations

import re

import pytest

from qprobe.doctor import list_checks, run_checks
from qprobe.doctor.checks.environment import HARM
from tests.doctor.machines import (
    SATURATES,
    load,
    measured,
    with_cpu,
    with_packages,
    with_software,
    with_torch,
)


def find(machine, name):
    (finding,) = run_checks(machine, [name])
    return finding


def test_machine_without_gpu_has_no_complaint_about_gpus():
    for check in list_checks():
        if check.id == "gpu" or "gpu" in check.needs or check.id == "peft-bitsandbytes":
            assert find(load("epyc_avx2"), check.id).status == "skip"


def test_amd_gpus_are_no_matter_of_the_checks_of_nvidias():
    for check in list_checks():
        if "gpu" in check.needs:
            assert find(load("rocm"), check.id).status == "skip", check.id


def test_healthy_h100_has_no_complaint_at_all():
    assert {finding.status for finding in run_checks(load("h100_cu13"))} <= {"ok", "skip"}


def test_graviton_is_a_first_class_machine():
    assert {finding.status for finding in run_checks(load("graviton3"))} <= {"ok", "skip"}


def test_missing_torch_fails_with_the_words_of_the_import():
    finding = find(load("no_torch"), "torch")
    assert finding.status == "fail"
    assert "No module named 'torch'" in finding.detail


def test_torch_that_is_installed_but_broken_is_told_apart():
    machine = with_packages(load("no_torch"), torch="2.13.0")
    assert find(machine, "torch").summary == "installed, but it cannot be imported"
    late = {"software.torch": "torch in a process of its own: no answer within 60 s"}
    finding = find(machine.model_copy(update={"unanswered": late}), "torch")
    assert (finding.status, finding.summary) == ("fail", "installed, but it did not answer")
    assert "no answer within 60 s" in finding.detail
    assert not any("install" in command for command in finding.fix.commands)


@pytest.mark.parametrize(
    ("version", "status"), [("2.5.1", "fail"), ("2.6.0", "ok"), ("2.6.0a0+git12", "ok")]
)
def test_torch_before_2_6_fails(version, status):
    assert find(with_torch(load("epyc_avx2"), version=version), "torch").status == status


def test_torch_without_onednn_is_a_warning():
    assert find(with_torch(load("epyc_avx2"), onednn=False), "torch").status == "warn"


def test_saturating_cpu_is_told_that_7_bit_codes_are_used():
    finding = find(measured("epyc_avx2"), "int8-arithmetic")
    assert finding.status == "warn"
    assert "7-bit" in finding.summary


def test_saturating_cpu_beside_a_gpu_is_no_complaint():
    assert find(measured("gtx_1660"), "int8-arithmetic").status == "ok"


@pytest.mark.parametrize("outcome", ["wrong", "failed"])
def test_int8_that_cannot_be_trusted_fails(outcome):
    test = SATURATES.model_copy(update={"outcome": outcome})
    machine = measured("epyc_avx2", int8_self_test=test)
    assert find(machine, "int8-arithmetic").status == "fail"


@pytest.mark.parametrize(
    ("name", "says"), [("epyc_avx2", True), ("avx512_limited", True), ("xeon_amx", False),
                       ("laptop_avx_vnni", False), ("graviton3", False)]
)  # fmt: skip
def test_int8_that_was_not_tested_is_suspect_without_vnni(name, says):
    finding = find(load(name), "int8-arithmetic")
    assert finding.status == "skip"
    assert ("Without VNNI" in finding.detail) == says


@pytest.mark.parametrize(
    ("ratio", "status", "words"),
    [
        (0.125, "warn", "8.0 times slower"),
        (1.0, "ok", "as fast as fp32"),
        (5.4, "ok", "5.4 times as fast"),
        (None, "skip", "not measured"),
    ],
)
def test_bf16_is_judged_by_its_measured_speed(ratio, status, words):
    finding = find(measured("epyc_avx2", bf16_speed_ratio=ratio), "bf16")
    assert finding.status == status
    assert words in finding.summary


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (("avx2",), "AVX2; int8: none, bf16: none"),
        (("avx2", "avx512f", "avx512_vnni"), "AVX512; int8: AVX512-VNNI, bf16: none"),
        (("amx_bf16", "amx_int8", "avx2", "avx512f"), "AVX512; int8: AMX, bf16: AMX"),
        (("neon",), "NEON; int8: none, bf16: none"),
    ],
)
def test_instructions_are_named(features, words):
    finding = find(with_cpu(load("epyc_avx2"), features=features), "cpu-isa")
    assert (finding.status, finding.summary) == ("ok", words)


def test_cpu_without_vectors_is_a_warning():
    assert find(with_cpu(load("epyc_avx2"), features=()), "cpu-isa").status == "warn"


@pytest.mark.parametrize(
    ("threads", "usable", "physical", "status", "command"),
    [
        (2, 2, 2, "ok", None),
        (4, 8, 4, "ok", None),
        (8, 8, 4, "ok", None),
        (16, 8, 4, "warn", "export OMP_NUM_THREADS=8"),
        (2, 8, 4, "warn", "export OMP_NUM_THREADS=4"),
        (2, 2, 64, "ok", None),
        (1, 2, None, "warn", "export OMP_NUM_THREADS=2"),
    ],
    ids=lambda value: str(value),
)
def test_threads_are_compared_with_cores(threads, usable, physical, status, command):
    machine = with_cpu(load("epyc_avx2"), usable_cores=usable, physical_cores=physical)
    finding = find(with_torch(machine, threads=threads), "threads")
    assert finding.status == status
    assert (finding.fix.commands if finding.fix else (None,)) == (command,)


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({}, "ok"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "warn"),
        ({"ONEDNN_MAX_CPU_ISA": "all"}, "ok"),
        ({"TORCHDYNAMO_DISABLE": "0"}, "ok"),
        ({"CUDA_LAUNCH_BLOCKING": "1"}, "warn"),
        ({"OMP_NUM_THREADS": "2"}, "ok"),
        ({"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}, "warn"),
    ],
    ids=str,
)
def test_environment(environment, status):
    machine = with_software(load("epyc_avx2"), environment=environment)
    finding = find(machine, "environment")
    assert finding.status == status
    assert all(name in finding.detail for name in environment if status == "warn")


@pytest.mark.parametrize("name", HARM)
def test_what_a_variable_does_can_be_read_up(name):
    assert re.fullmatch(r"https://[\w.-]+/\S+", HARM[name].source)
    machine = with_software(load("epyc_avx2"), environment={name: "something else"})
    finding = find(machine, "environment")
    assert finding.fix.link == HARM[name].source
    assert HARM[name].does in finding.detail
    for value in HARM[name].harmless:
        quiet = with_software(machine, environment={name: value})
        assert find(quiet, "environment").status == "ok"


def test_compiler_is_missing():
    finding = find(load("laptop_avx_vnni"), "compiler")
    assert finding.status == "warn"
    assert "g++ is not on the PATH" in finding.detail


@pytest.mark.parametrize(
    ("version", "status"), [(None, "warn"), ("4.57.1", "warn"), ("5.0.0", "ok")], ids=str
)
def test_transformers(version, status):
    assert find(with_packages(load("epyc_avx2"), transformers=version), "hf").status == status


@pytest.mark.parametrize(
    ("available", "status"), [(2**31, "ok"), (2**31 - 1, "warn"), (0, "warn"), (None, "skip")]
)
def test_memory(available, status):
    machine = with_cpu(load("epyc_avx2"), available_memory_bytes=available)
    assert find(machine, "memory").status == status


def test_bandwidth_says_what_it_means_for_generating():
    finding = find(measured("epyc_avx2"), "bandwidth")
    assert "15.8 tokens a second at 16 bits, 31.7 at 8, 63.4 at 4" in finding.detail


def test_bandwidth_far_below_any_memory_is_a_warning():
    machine = measured("epyc_avx2", read_bandwidth_bytes_per_s=4e9)
    assert find(machine, "bandwidth").status == "warn"
