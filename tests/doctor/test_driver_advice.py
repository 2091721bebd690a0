"""Whose driver it is, and which torch runs on the one that is there."""

from __future__ import annotations

import pytest

from tests.doctor.machines import load, with_host, with_software
from tests.doctor.test_findings import find

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
