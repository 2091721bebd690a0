"""Whose driver it is, and which torch runs on the one that is there."""

from __future__ import annotations

import pytest

from qprobe.doctor.rules.torch import CU118, CU126, CU126_HOPPER, CU128_VOLTA
from tests.doctor.machines import load, with_host, with_packages, with_software, with_torch
from tests.doctor.test_findings import find
from tests.machines.parts import BUILDS, GPUS, gpu

CARDS = GPUS | {
    "5090": gpu("NVIDIA GeForce RTX 5090", "12.0", 170, 32, 575.0),
    "thor": gpu("NVIDIA Thor", "11.0", 20, 122, 130.0),
    "k80": gpu("Tesla K80", "3.7", 13, 12, 149.0),
}
DRIVER = "apt-get install nvidia-driver-580"
OPEN_DRIVER = f"{DRIVER}-open"
UNIVERSAL = "pip install nvidia-cuda-nvrtc-cu12==12.9.86"
OF_CU128 = dict(zip(("version", "cuda", "hip", "arch_list"), BUILDS["2.10-cu128"], strict=True))

WSL = "Ubuntu 22.04.5 LTS, Linux 5.15.167.4-microsoft-standard-WSL2 x86_64"
JETSON = "Ubuntu 22.04.5 LTS, Linux 5.15.148-tegra aarch64"


def surrounded(machine, os, container):
    machine = with_host(machine, container=container)
    return with_software(machine, os=os) if os else machine


@pytest.mark.parametrize("name", ["old_driver", "h100_on_535", "gpu_without_driver"])
@pytest.mark.parametrize(
    ("os", "container", "words"),
    [
        (WSL, None, "Update NVIDIA's driver on Windows"),
        (WSL, "docker", "Update NVIDIA's driver on Windows"),
        (JETSON, None, "Update JetPack"),
        (None, "docker", "Update the driver of the host"),
        (None, "kubernetes", "Update the driver of the host"),
    ],
)
def test_a_driver_that_is_not_this_systems_is_not_installed_here(name, os, container, words):
    machine = load("h100_cu13" if name == "h100_on_535" else name)
    if name == "h100_on_535":
        machine = with_software(machine, driver="535.183.01", cuda_driver="12.2")
    machine = surrounded(machine, os, container)
    findings = [find(machine, check) for check in ("gpu", "gpu-torch", "cupy", "nvrtc")]
    fixes = [finding.fix for finding in findings if finding.fix]
    assert any(words in fix.text for fix in fixes)
    for fix in fixes:
        assert "Install driver" not in fix.text
        assert not any("apt-get" in command for command in fix.commands)


def test_ubuntu_by_itself_has_a_package_of_the_driver():
    assert find(load("gpu_without_driver"), "gpu").fix.commands == (
        "apt-get install nvidia-driver-580",
    )


def of(machine, *names, driver=None):
    cards = tuple(
        CARDS[name].model_copy(update={"index": index}) for index, name in enumerate(names)
    )
    machine = machine.model_copy(update={"gpus": cards, "fingerprints": {}})
    if driver is None:
        return machine
    return with_software(machine, driver=driver[0], cuda_driver=driver[1])


@pytest.mark.parametrize("card", ["v100", "p40", "t4"])
@pytest.mark.parametrize("torch", ["cu130", "cpu", "none"])
def test_before_cuda_12_a_torch_for_cuda_11_or_a_newer_driver_is_advised(card, torch):
    base = load(
        {"cu130": "v100_cu13_torch", "cpu": "gpu_with_cpu_torch", "none": "no_torch"}[torch]
    )
    machine = of(base, card, driver=("470.256.02", "11.4"))
    fix = find(machine, "torch" if torch == "none" else "gpu-torch").fix
    first, *others, last = fix.labelled()
    assert first == ("(1)", "apt-get install nvidia-driver-580")
    assert (last[0], last[1].split("/")[-1]) == ("(2)", "cu118")
    is_there = (card, torch) == ("t4", "cu130")
    assert [label for label, _ in others] == ([] if is_there else ["(1)"])
    assert all(("cu126" in command) == (card != "t4") for _, command in others)


@pytest.mark.parametrize("driver", [("440.118.02", "10.2"), ("450.51.06", "11.0")])
@pytest.mark.parametrize("card", ["v100", "t4"])
def test_before_450_80_nothing_but_a_newer_driver_helps(card, driver):
    fix = find(of(load("v100_cu13_torch"), card, driver=driver), "gpu-torch").fix
    assert fix.commands[0] == "apt-get install nvidia-driver-580"
    assert not any("cu118" in command for command in fix.commands)


def test_the_last_driver_of_kepler_is_not_replaced():
    machine = of(load("v100_old_peft"), "k80", driver=("470.256.02", "11.4"))
    assert find(machine, "gpu-torch").fix.commands == (CU118,)
    assert find(machine, "cupy").fix.commands == ()
    assert "No driver after 470" in find(machine, "cupy").fix.text


@pytest.mark.parametrize(
    ("cards", "command"),
    [
        (("v100",), CU126),
        (("v100", "p40", "rtx-4090"), CU126),
        (("v100", "5090"), CU128_VOLTA),
        (("b200", "v100"), CU128_VOLTA),
        (("v100", "h100"), CU128_VOLTA),
        (("h100", "p40"), CU126_HOPPER),
        (("t4", "b200"), 'pip install --force-reinstall "torch>=2.6"'),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["v100_cu13_torch", "v100_cu126_torch", "gpu_with_cpu_torch"])
def test_the_torch_that_is_advised_has_code_for_every_card(name, cards, command):
    machine = of(load(name), *cards, driver=("580.95.05", "13.0"))
    finding = find(machine, "gpu-torch")
    advised = finding.fix.commands if finding.fix else ()
    assert advised in ((command,), ('python -c "import torch; torch.cuda.init()"',))
    assert name != "gpu_with_cpu_torch" or advised == (command,)


def test_after_the_advice_there_is_none():
    machine = with_torch(of(load("v100_cu13_torch"), "v100", "5090"), **OF_CU128)
    assert find(machine, "gpu-torch").summary == "torch sees 0 of 2 GPUs"


def test_where_no_build_covers_all_cards_the_older_are_hidden():
    fix = find(of(load("v100_cu13_torch"), "5090", "p40", "h100", "v100"), "gpu-torch").fix
    assert "No build of torch has code for all of these cards" in fix.text
    assert fix.commands == (
        "export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=0,2,3",
        CU128_VOLTA,
    )
    alone = find(of(load("v100_cu13_torch"), "k80"), "gpu-torch").fix
    assert alone.commands == ("qprobe bench --device cpu",)


def test_bitsandbytes_asks_for_the_same_torch():
    machine = with_packages(of(load("v100_cu13_torch"), "v100", "5090"), bitsandbytes="0.50.2")
    assert find(machine, "peft-bitsandbytes").fix.commands[0] == CU128_VOLTA


@pytest.mark.parametrize(
    ("card", "driver", "commands", "words"),
    [
        ("thor", ("580.95.05", "13.0"), ("pip install nvidia-cuda-nvrtc",), "Install 13.5"),
        (
            "thor",
            ("570.10", "12.8"),
            (OPEN_DRIVER, "pip install nvidia-cuda-nvrtc"),
            "Then install",
        ),
        ("v100", ("580.95.05", "13.0"), (UNIVERSAL,), "Install 12.9"),
        ("v100", ("470.256.02", "11.4"), (DRIVER, UNIVERSAL), "Then install NVRTC 12.9"),
        ("k80", ("470.256.02", "11.4"), (), "No NVRTC from CUDA 12 on builds for 3.7"),
    ],
)
def test_the_compiler_that_is_advised_builds_for_the_card(card, driver, commands, words):
    name = "v100_cu126_torch" if card == "thor" else "h100_cu13"
    machine = of(with_software(load(name), torch=None), card, driver=driver)
    finding = find(machine, "nvrtc")
    assert (finding.status, finding.fix.commands) == ("fail", commands)
    assert words in finding.fix.text


def test_where_none_builds_for_the_card_none_is_installed():
    machine = of(with_software(load("v100_old_peft"), nvrtc=()), "k80")
    assert find(machine, "nvrtc").fix.commands == ()


@pytest.mark.parametrize("more", [{}, {"gpus.pci": "on the PCI bus, without a driver: 10de:1eb8"}])
def test_a_missing_package_is_not_the_drivers_fault(more):
    words = {"gpus": "No module named 'pynvml'"} | more
    machine = load("epyc_avx2").model_copy(update={"unanswered": words})
    finding = find(machine, "gpu")
    assert (finding.status, finding.fix.commands) == ("warn", ("pip install nvidia-ml-py",))
    assert "driver" not in finding.summary
