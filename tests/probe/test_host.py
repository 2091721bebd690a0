"""What planted files tell of a container, its limits and the device files."""

from __future__ import annotations

import pytest

from qprobe.probe import host
from qprobe.probe.host import find_container, is_writable, probe_host

VERSION = """NVRM version: NVIDIA UNIX {kind}x86_64 Kernel Module  {version}  {more}
GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)
"""


def plant(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "environment", "kind"),
    [
        ({}, {}, None),
        ({"proc/1/cgroup": "0::/init.scope\n"}, {}, None),
        ({"proc/self/cgroup": "0::/system.slice/docker.service\n"}, {}, None),
        ({".dockerenv": ""}, {}, "docker"),
        ({"proc/1/cgroup": "4:memory:/docker/0f3e\n"}, {}, "docker"),
        ({"proc/self/cgroup": "0::/system.slice/docker-0f3e.scope\n"}, {}, "docker"),
        ({"proc/1/cgroup": "0::/kubepods/besteffort/pod1/docker-2\n"}, {}, "kubernetes"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({"proc/self/cgroup": "0::/machine.slice/libpod-7.scope\n"}, {}, "podman"),
        ({"proc/1/cgroup": "0::/lxc.payload.web/init\n"}, {}, "lxc"),
        ({}, {"APPTAINER_CONTAINER": "/home/somebody/image.sif"}, "apptainer"),
    ],
    ids=str,
)
def test_a_container_is_known_by_the_marks_of_its_runtime(tmp_path, files, environment, kind):
    assert find_container(plant(tmp_path, files), environment) == kind


@pytest.mark.parametrize(
    ("kind", "version"), [("", "535.183.01"), ("Open ", "580.95.05"), ("", "470.256.02")]
)
def test_the_kernel_driver_is_read_whatever_its_license(tmp_path, kind, version):
    text = VERSION.format(kind=kind, version=version, more="Sun May 12 19:39:15 UTC 2026")
    if kind:
        text = text.replace("Kernel Module", "Kernel Module for x86_64")
    plant(tmp_path, {"proc/driver/nvidia/version": text})
    assert probe_host({}, tmp_path, {}).kernel_driver == version


def test_device_files_are_listed_by_name(tmp_path):
    names = ("nvidia0", "nvidia12", "nvidiactl", "nvidia-uvm", "nvidia-modeset", "null", "dxg")
    plant(tmp_path, {f"dev/{name}": "" for name in names})
    found = probe_host({}, tmp_path, {}).device_nodes
    assert found == ("nvidia0", "nvidia12", "nvidiactl", "nvidia-uvm", "dxg")


def test_the_tightest_limit_counts(tmp_path):
    group = "sys/fs/cgroup/a/b"
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            f"{group}/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/a/cpu.max": "max 100000\n",
            f"{group}/memory.max": "max\n",
            f"{group}/memory.current": "5\n",
            "sys/fs/cgroup/a/memory.max": "4096\n",
            "sys/fs/cgroup/a/memory.current": "1\n",
        },
    )
    found = probe_host({}, tmp_path, {})
    assert (found.cpu_limit_cores, found.memory_limit_bytes) == (1.5, 4096)


def test_the_number_that_stands_for_no_limit_is_none(tmp_path):
    group = "sys/fs/cgroup/memory"
    plant(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/\n",
            f"{group}/memory.limit_in_bytes": "9223372036854771712\n",
            f"{group}/memory.usage_in_bytes": "1\n",
        },
    )
    assert probe_host({}, tmp_path, {}).memory_limit_bytes is None


@pytest.mark.parametrize(
    ("text", "load"), [("1.84 0.73 0.30 3/111 7098\n", 1.84), ("nonsense", None), ("", None)]
)
def test_the_load_is_that_of_the_last_minute(tmp_path, text, load):
    unanswered = {}
    plant(tmp_path, {"proc/loadavg": text})
    assert probe_host(unanswered, tmp_path, {}).load == load
    assert ("host.load" in unanswered) == (load is None)


def test_nothing_at_all_is_still_a_host(tmp_path):
    found = probe_host({}, tmp_path, {})
    assert (found.container, found.kernel_driver, found.device_nodes) == (None, None, ())


def test_a_folder_that_is_not_there_is_judged_by_the_one_that_would_hold_it(tmp_path, monkeypatch):
    assert is_writable(tmp_path / "a/b/c")
    (tmp_path / "file").write_text("")
    assert not is_writable(tmp_path / "file/b")
    monkeypatch.setattr(host.os, "access", lambda path, mode: False)
    assert not is_writable(tmp_path / "a")


def plant_card(root, slot, vendor, kind, device):
    folder = root / "sys/bus/pci/devices" / slot
    folder.mkdir(parents=True)
    for name, text in (("vendor", vendor), ("class", kind), ("device", device)):
        (folder / name).write_text(f"{text}\n")


def test_cards_without_a_driver_are_found_on_the_pci_bus(tmp_path):
    plant_card(tmp_path, "0000:00:1e.0", "0x10de", "0x030200", "0x1db1")
    plant_card(tmp_path, "0000:00:1e.1", "0x10de", "0x040300", "0x10f0")  # its sound
    plant_card(tmp_path, "0000:00:1f.0", "0x1002", "0x030000", "0x744c")  # another vendor
    (tmp_path / "sys/bus/pci/devices/0000:00:20.0").mkdir()
    assert host.list_pci_gpus(tmp_path) == ("10de:1db1",)


def test_no_pci_bus_at_all(tmp_path):
    assert host.list_pci_gpus(tmp_path) == ()
