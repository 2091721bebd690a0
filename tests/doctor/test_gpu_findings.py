"""Drivers, builds of torch, CuPy and NVRTC."""

from __future__ import annotations

import pytest

from qprobe.doctor import run_checks
from tests.doctor.machines import (
    load,
    with_gpu,
    with_packages,
    with_software,
    with_torch,
)
from tests.doctor.test_findings import find

UNIVERSAL = "pip install nvidia-cuda-nvrtc-cu12==12.9.86"


def test_torch_of_cuda_13_has_no_code_for_v100():
    finding = find(load("v100_cu13_torch"), "gpu-torch")
    assert finding.status == "fail"
    assert "sm_70" in finding.summary
    assert "cu126" in finding.fix.commands[0]
    assert "issues/172352" in finding.detail


@pytest.mark.parametrize(
    ("arch_list", "status"),
    [
        (("sm_75", "sm_86"), "ok"),
        (("sm_89",), "ok"),
        (("sm_75", "compute_80"), "warn"),
        (("sm_86", "compute_80"), "ok"),
        (("sm_80", "sm_90", "sm_90a"), "ok"),
        (("sm_75", "sm_90", "compute_90"), "fail"),
        (("sm_89a",), "ok"),
        (("sm_86a",), "fail"),
        ((), "ok"),
        (("gibberish",), "fail"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value,
)
def test_code_runs_on_the_same_major_version_or_as_ptx(arch_list, status):
    machine = with_torch(load("l4"), arch_list=arch_list)
    assert find(machine, "gpu-torch").status == status


@pytest.mark.parametrize(
    ("capability", "status"),
    [
        ("7.5", "ok"),
        ("8.9", "ok"),
        ("10.3", "ok"),
        ("12.1", "ok"),
        ("13.0", "warn"),
        ("7.0", "fail"),
    ],
)
def test_the_list_of_cuda_13_by_card(capability, status):
    machine = with_gpu(load("h100_cu13"), compute_capability=capability)
    assert find(machine, "gpu-torch").status == status


def test_ptx_of_a_later_cuda_than_the_drivers_does_not_compile():
    machine = with_torch(load("l4"), arch_list=("compute_80",), cuda="13.2")
    finding = find(machine, "gpu-torch")
    assert finding.status == "fail"
    assert "PTX" in finding.summary


def test_torch_without_cuda_beside_a_gpu_fails():
    finding = find(load("gpu_with_cpu_torch"), "gpu-torch")
    assert (finding.status, finding.summary) == ("fail", "torch is built without CUDA")
    assert "cu128" in finding.fix.commands[0]  # the driver is for CUDA 12


@pytest.mark.parametrize(
    ("driver", "status", "ways"),
    [
        (("580.95.05", "13.0"), "ok", ()),
        (("590.10", "13.1"), "ok", ()),
        (("550.163.01", "12.4"), "fail", (("", "cu128"), ("or", "nvidia-driver-580"))),
        (("470.256.02", "11.4"), "fail", (("(1)", "nvidia-driver-580"), ("(2)", "cu118"))),
        ((None, None), "ok", ()),
    ],
)
def test_drivers_are_compared_by_the_major_version_of_cuda(driver, status, ways):
    machine = with_software(load("h100_cu13"), driver=driver[0], cuda_driver=driver[1])
    finding = find(machine, "gpu-torch")
    assert finding.status == status
    if status == "fail":
        assert "too old" in finding.summary
        assert [(label, command.split("/")[-1].split()[-1]) for label, command in
                finding.fix.labelled()] == list(ways)  # fmt: skip


def test_of_another_system_than_ubuntu_no_package_of_the_driver_is_told():
    machine = with_software(load("old_driver"), os="Rocky Linux 9.5, Linux 5.14 x86_64")
    finding = find(machine, "gpu-torch")
    assert [label for label, _ in finding.fix.labelled()] == ["(2)"]
    assert find(machine, "cupy").fix.commands == ()


def test_blackwell_gets_the_driver_with_open_modules():
    machine = with_software(load("b200"), driver="570.10", cuda_driver="12.8")
    assert find(machine, "gpu-torch").fix.commands[1] == "apt-get install nvidia-driver-580-open"


def test_an_old_driver_is_first_in_every_finding_that_it_makes_fail():
    failed = [item for item in run_checks(load("old_driver")) if item.status == "fail"]
    assert [item.id for item in failed] == ["cupy", "gpu-torch", "nvrtc"]
    assert {item.fix.commands[0] for item in failed} == {"apt-get install nvidia-driver-580"}
    torch_only = next(item for item in failed if item.id == "gpu-torch").fix
    assert torch_only.commands[1].endswith("cu118")
    assert "torch alone" in torch_only.text


@pytest.mark.parametrize("name", ["v100_cu13_torch", "old_driver"])
def test_findings_of_one_cause_do_not_ask_for_two_compilers_or_two_torches(name):
    """One torch, whose own NVRTC is not replaced by another version."""
    commands = {
        command
        for item in run_checks(load(name))
        if item.status == "fail"
        for command in item.fix.commands
    }
    torches = {command for command in commands if '"torch' in command}
    assert len(torches) == 1
    assert not any("nvrtc" in command for command in commands)


def test_the_compiler_of_a_v100_comes_with_the_torch_that_it_needs():
    machine = load("v100_cu13_torch")
    finding = find(machine, "nvrtc")
    assert "brings NVRTC 12.6" in finding.fix.text
    assert finding.fix.commands == find(machine, "gpu-torch").fix.commands
    fitting = with_torch(machine, arch_list=("sm_70",), cuda="12.6")  # torch is right: 12.9 alone
    assert find(fitting, "nvrtc").fix.commands == ("pip install nvidia-cuda-nvrtc-cu12==12.9.86",)
    unknown = machine.gpus[0].model_copy(update={"index": 1, "compute_capability": None})
    both = machine.model_copy(update={"gpus": (unknown, *machine.gpus)})
    assert "brings NVRTC 12.6" in find(both, "nvrtc").fix.text
    later = with_software(load("h100_cu13"), driver="550.163.01", cuda_driver="12.4")
    assert "brings NVRTC 12.8" in find(later, "nvrtc").fix.text


def test_a_build_for_a_later_minor_version_runs_on_the_driver():
    assert find(load("a10g"), "gpu-torch").status == "ok"  # CUDA 12.8 on a driver for 12.4


def test_hidden_gpus_are_told_apart_from_broken_ones():
    machine = load("h100_cu13").model_copy(update={"fingerprints": {}})
    assert find(machine, "gpu-torch").status == "fail"
    hidden = with_software(machine, environment={"CUDA_VISIBLE_DEVICES": ""})
    assert find(hidden, "gpu-torch").status == "warn"


def test_another_order_of_the_cards_is_a_warning():
    machine = load("h100_cu13")
    other = machine.fingerprints["cuda:0"].model_copy(update={"name": "NVIDIA L4"})
    machine = machine.model_copy(update={"fingerprints": {"cuda:0": other}})
    finding = find(machine, "gpu-torch")
    assert (finding.status, finding.fix.commands) == (
        "warn",
        ("export CUDA_DEVICE_ORDER=PCI_BUS_ID",),
    )


def test_rocm_is_told_that_the_cpu_is_used():
    finding = find(load("rocm"), "gpu")
    assert finding.status == "warn"
    assert "ROCm" in finding.summary


def test_card_without_a_driver_fails():
    finding = find(load("gpu_without_driver"), "gpu")
    assert finding.status == "fail"
    assert "10de:1eb8" in finding.detail


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("NVML Shared Library Not Found", "skip"),
        ("Driver Not Loaded", "skip"),
        ("RM has detected an NVML/RM version mismatch.", "fail"),
    ],
)
def test_nvml_in_its_own_words(words, status):
    machine = load("epyc_avx2").model_copy(update={"unanswered": {"gpus": words}})
    finding = find(machine, "gpu")
    assert finding.status == status
    assert words.rstrip(".") in finding.detail


@pytest.mark.parametrize("field", ["gpus.0", "gpus.0.processes"])
def test_a_card_that_fell_off_the_bus_fails_and_says_so(field):
    machine = load("h100_cu13")
    gpus = () if field == "gpus.0" else machine.gpus
    machine = machine.model_copy(update={"gpus": gpus, "unanswered": {field: "GPU is lost"}})
    finding = find(machine, "gpu")
    assert finding.status == "fail"
    assert "GPU 0" in finding.summary
    assert "GPU is lost" in finding.detail


@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        ({"cupy_cuda13x": None}, "warn", "not installed"),
        ({"cupy_cuda12x": "14.2.0"}, "fail", "overwrite each other"),
        ({"cupy": "14.2.0"}, "fail", "overwrite each other"),
        (
            {"cupy_cuda13x": None, "cupy_cuda12x": "14.2.0"},
            "warn",
            "built for CUDA 12, torch for 13",
        ),
        ({"cupy_cuda13x": None, "cupy_cuda112": "12.3.0"}, "warn", "older than 14"),
        ({"cupy_cuda13x": None, "cupy_rocm_5_0": "13.6.0"}, "fail", "does not suit"),
        ({"cupy_cuda13x": "13.6.0"}, "warn", "older than 14"),
        ({"cupy_cuda13x": None, "cupy": "14.2.0"}, "ok", "cupy 14.2.0"),
    ],
    ids=["none", "two", "two, one from source", "other major", "ancient", "amd", "old", "source"],
)
def test_cupy(packages, status, words):
    finding = find(with_packages(load("h100_cu13"), **packages), "cupy")
    assert finding.status == status
    assert words in finding.summary


def test_v100_wants_the_cupy_of_cuda_12_whatever_the_driver_reports():
    finding = find(load("v100_cu13_torch"), "cupy")
    assert finding.status == "fail"
    assert finding.fix.commands[-1] == 'pip install "qprobe[cuda12]"'


def test_cupy_of_cuda_13_on_a_driver_for_12_fails():
    machine = with_software(load("h100_cu13"), driver="550.163.01", cuda_driver="12.4")
    assert "580" in find(machine, "cupy").detail


def test_cupy_follows_torch_where_the_card_takes_both():
    machine = with_torch(load("h100_cu13"), cuda="12.8")
    finding = find(machine, "cupy")
    assert (finding.status, finding.fix.commands[-1]) == ("warn", 'pip install "qprobe[cuda12]"')


@pytest.mark.parametrize(
    ("name", "nvrtc", "capability", "status"),
    [
        ("v100_cu126_torch", "as it is", "7.0", "ok"),
        ("v100_cu13_torch", "as it is", "7.0", "fail"),
        ("h100_cu13", "as it is", "9.0", "ok"),
        ("h100_cu13", "as it is", "6.1", "fail"),
        ("h100_cu13", (), "9.0", "warn"),
        ("a10g", "as it is", "12.0", "ok"),
        ("a10g", "as it is", "12.1", "ok"),  # code for 12.0 runs there
        ("v100_old_peft", "as it is", "10.0", "fail"),
        ("v100_cu13_torch", None, "7.0", "fail"),  # not asked: by pip's package
        ("h100_cu13", None, "10.3", "ok"),
        ("h100_cu13", "as it is", None, "ok"),
    ],
)
def test_nvrtc_builds_for_the_card_or_fails(name, nvrtc, capability, status):
    machine = with_gpu(load(name), compute_capability=capability)
    if nvrtc != "as it is":
        machine = with_software(machine, nvrtc=nvrtc)
    finding = find(machine, "nvrtc")
    assert finding.status == status
    if status == "fail":
        torch = find(machine, "gpu-torch")
        command = torch.fix.commands[0] if torch.status == "fail" else UNIVERSAL
        assert finding.fix.commands == (command,)


def test_nvrtc_that_the_driver_cannot_follow_fails():
    machine = with_software(load("h100_cu13"), driver="550.163.01", cuda_driver="12.4")
    assert "loads no code of 13.0" in find(machine, "nvrtc").summary


def test_one_fitting_nvrtc_beside_another_is_enough():
    both = load("v100_cu126_torch").software.nvrtc + load("h100_cu13").software.nvrtc
    assert find(with_software(load("v100_cu13_torch"), nvrtc=both), "nvrtc").status == "ok"
