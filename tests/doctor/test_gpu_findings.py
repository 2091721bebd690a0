"""Drivers, builds, compilers and the state of the cards."""

from __future__ import annotations

import pytest

from qprobe.documents.machine import NONE_LISTED
from tests.doctor.machines import (
    load,
    with_gpu,
    with_host,
    with_packages,
    with_software,
    with_torch,
)
from tests.doctor.test_findings import find


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
    ("driver", "status", "command"),
    [
        (("580.95.05", "13.0"), "ok", ""),
        (("590.10", "13.1"), "ok", ""),
        (("550.163.01", "12.4"), "fail", "cu128"),
        (("470.256.02", "11.4"), "fail", "cu118"),
        ((None, None), "ok", ""),
    ],
)
def test_drivers_are_compared_by_the_major_version_of_cuda(driver, status, command):
    machine = with_software(load("h100_cu13"), driver=driver[0], cuda_driver=driver[1])
    finding = find(machine, "gpu-torch")
    assert finding.status == status
    if status == "fail":
        assert "too old" in finding.summary
        assert command in finding.fix.commands[0]


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
        assert finding.fix.commands == ("pip install nvidia-cuda-nvrtc-cu12==12.9.86",)


def test_nvrtc_that_the_driver_cannot_follow_fails():
    machine = with_software(load("h100_cu13"), driver="550.163.01", cuda_driver="12.4")
    assert "loads no code of 13.0" in find(machine, "nvrtc").summary


def test_one_fitting_nvrtc_beside_another_is_enough():
    both = load("v100_cu126_torch").software.nvrtc + load("h100_cu13").software.nvrtc
    assert find(with_software(load("v100_cu13_torch"), nvrtc=both), "nvrtc").status == "ok"


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


@pytest.mark.parametrize(
    ("reasons", "status", "words"),
    [
        (("idle",), "ok", "idle"),
        ((), "ok", "nothing holds it back"),
        (("power_cap",), "warn", "power limit"),
        (("hardware_thermal", "hardware_slowdown"), "warn", "too hot"),
        (("power_brake",), "warn", "brake"),
        (("application_clocks",), "ok", "fixed values"),
        (None, "skip", "does not tell"),
    ],
)
def test_clocks(reasons, status, words):
    finding = find(with_gpu(load("h100_cu13"), throttle_reasons=reasons), "clocks")
    assert finding.status == status
    assert words in f"{finding.summary} {finding.detail}"


def test_slowed_clocks_are_told_in_megahertz():
    machine = with_gpu(
        load("h100_cu13"),
        throttle_reasons=("software_thermal",), sm_clock_hz=9.9e8, sm_clock_max_hz=1.98e9,
    )  # fmt: skip
    assert find(machine, "clocks").summary == "slowed down to 990 of 1980 MHz"


@pytest.mark.parametrize(
    ("limit", "default", "status"),
    [(700.0, 700.0, "ok"), (699.0, 700.0, "ok"), (350.0, 700.0, "warn"), (None, 700.0, "skip"),
     (350.0, None, "skip")],
)  # fmt: skip
def test_power(limit, default, status):
    machine = with_gpu(load("h100_cu13"), power_limit_w=limit, power_limit_default_w=default)
    assert find(machine, "power").status == status


AWAKE = {"performance_state": 0, "throttle_reasons": ()}


@pytest.mark.parametrize(
    ("changes", "status", "summary"),
    [
        ({}, "ok", "16 lanes"),
        ({"pcie_width": 4}, "warn", "4 of 16 lanes"),
        (AWAKE, "warn", "generation 1 of 5"),
        (AWAKE | {"pcie_generation": 5}, "ok", "16 lanes"),
        (AWAKE | {"pcie_width": 8}, "warn", "8 of 16 lanes, generation 1 of 5"),
        (AWAKE | {"pcie_generation": None}, "ok", "16 lanes"),
        ({"pcie_width": None}, "skip", "the driver does not tell"),
    ],
    ids=str,
)
def test_an_idle_link_is_judged_by_its_width_alone(changes, status, summary):
    finding = find(with_gpu(load("h100_cu13"), **changes), "pcie")
    assert (finding.status, finding.summary) == (status, summary)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, "ok", "GiB free"),
        ({"processes": 1}, "warn", "1 other process computes"),
        ({"processes": 3}, "warn", "3 other processes compute"),
        ({"free_memory_bytes": 2**30, "processes": 2}, "warn", "1.0 GiB free"),
        ({"compute_mode": "prohibited"}, "fail", "closed"),
        ({"compute_mode": "exclusive"}, "ok", "GiB free"),
        ({"compute_mode": "exclusive", "processes": 1}, "fail", "to itself"),
        ({"free_memory_bytes": None}, "skip", "does not tell"),
    ],
    ids=str,
)
def test_gpu_memory(changes, status, words):
    finding = find(with_gpu(load("h100_cu13"), **changes), "gpu-memory")
    assert finding.status == status
    assert words in finding.summary


@pytest.mark.parametrize(
    ("ecc", "errors", "status", "words"),
    [
        (True, 0, "ok", "no error left uncorrected"),
        (True, None, "ok", "on"),
        (False, None, "ok", "off"),
        (True, 1, "fail", "1 memory error could"),
        (True, 2, "fail", "2 memory errors could"),
        (None, None, "skip", "does not tell"),
    ],
)
def test_ecc(ecc, errors, status, words):
    machine = with_gpu(load("h100_cu13"), ecc=ecc, ecc_uncorrected_errors=errors)
    finding = find(machine, "ecc")
    assert finding.status == status
    assert words in finding.summary


@pytest.mark.parametrize(
    ("mig", "profiles", "status", "words"),
    [
        (None, None, "skip", "cannot be divided"),
        (False, None, "ok", "off"),
        (True, ("1g.10gb",), "warn", "1g.10gb"),
        (True, (), "fail", "no slice"),
        (True, None, "warn", "unknown slices"),
    ],
)
def test_mig(mig, profiles, status, words):
    finding = find(with_gpu(load("h100_cu13"), mig=mig, mig_profiles=profiles), "mig")
    assert finding.status == status
    assert words in finding.summary


@pytest.mark.parametrize(
    ("container", "words", "hint"),
    [
        ("docker", "the container was given no GPU", "docker run --gpus all"),
        ("podman", "the container was given no GPU", "podman run --device nvidia.com/gpu=all"),
        ("kubernetes", "the pod was given no GPU", "nvidia.com/gpu: 1"),
        (None, "the driver is loaded, and no GPU is to be had", "permissions"),
    ],
)
def test_a_loaded_driver_without_a_device_is_explained(container, words, hint):
    machine = with_host(load("container_without_gpu"), container=container)
    finding = find(machine, "container")
    assert (finding.status, finding.summary) == ("fail", words)
    assert hint in finding.fix.text
    assert find(machine, "gpu").status == "skip"


def test_a_machine_that_is_asked_about_its_cpu_alone_hides_nothing():
    machine = with_host(load("h100_cu13"), kernel_driver="580.95.05")
    narrowed = machine.model_copy(update={"gpus": ()})
    assert find(narrowed, "container").status == "ok"
    assert find(narrowed, "gpu").summary == "no NVIDIA GPU: the CPU is the device"


def test_a_driver_that_lists_no_gpu_is_explained_by_the_container():
    machine = load("container_without_gpu")
    machine = machine.model_copy(update={"unanswered": {"gpus": NONE_LISTED}})
    assert find(machine, "container").status == "fail"
    bare = with_host(machine, kernel_driver=None)
    assert (find(bare, "container").status, find(bare, "gpu").status) == ("ok", "skip")


def test_a_broken_driver_is_not_called_a_matter_of_the_container():
    words = "RM has detected an NVML/RM version mismatch."
    machine = load("container_without_gpu").model_copy(update={"unanswered": {"gpus": words}})
    assert find(machine, "gpu").status == "fail"
    assert find(machine, "container").status == "ok"


def test_of_cards_in_slices_one_is_enough():
    machine = load("a100_mig")
    second = machine.gpus[0].model_copy(update={"index": 1})
    machine = machine.model_copy(update={"gpus": (*machine.gpus, second)})
    assert find(machine, "gpu-torch").status == "ok"
    assert find(with_gpu(machine, mig=False), "gpu-torch").status == "ok"  # the other still is
    whole = machine.model_copy(update={"gpus": tuple(
        gpu.model_copy(update={"mig": False}) for gpu in machine.gpus)})  # fmt: skip
    assert find(whole, "gpu-torch").status == "fail"


@pytest.mark.parametrize(
    ("changes", "summary"),
    [
        ({}, "none"),
        ({"container": "docker"}, "docker, without limits"),
        (
            {"container": "docker", "cpu_limit_cores": 1.5, "memory_limit_bytes": 2**33},
            "docker; 1.5 cores, 8.0 GiB of memory",
        ),
        ({"cpu_limit_cores": 2.0}, "no container; 2 cores"),
    ],
    ids=str,
)
def test_limits_are_told(changes, summary):
    finding = find(with_host(load("h100_cu13"), **changes), "container")
    assert (finding.status, finding.summary) == ("ok", summary)


def test_a_document_from_before_the_host_was_asked_skips_what_needs_it():
    machine = load("h100_cu13").model_copy(update={"host": None})
    for name in ("container", "load", "cache"):
        assert find(machine, name).status == "skip"


@pytest.mark.parametrize(
    ("load_", "status"), [(0.0, "ok"), (8.0, "ok"), (8.1, "warn"), (None, "skip")]
)
def test_other_programs(load_, status):
    assert find(with_host(load("h100_cu13"), load=load_), "load").status == status  # 16 cores


@pytest.mark.parametrize(("writable", "status"), [(True, "ok"), (False, "warn"), (None, "skip")])
def test_cache(writable, status):
    assert find(with_host(load("h100_cu13"), cache_is_writable=writable), "cache").status == status


def test_facts_that_were_not_read_are_told():
    machine = load("h100_cu13")
    assert find(machine, "record").summary == "written from tables, not probed"
    probed = machine.model_copy(update={"origin": "probed", "unanswered": {}})
    assert find(probed, "record").summary == "every question was answered"
    quiet = probed.model_copy(update={"unanswered": {f"gpus.0.f{i}": "no" for i in range(9)}})
    finding = find(quiet, "record")
    assert finding.summary == "9 questions unanswered"
    assert "gpus.0.f0: no" in finding.detail
    assert "and 1 more" in finding.detail
