"""Reads what the system gives to this process: its container, its limits, the device files of NVIDIA."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from qprobe.documents.machine import Host
from qprobe.kernels.resources import ROOT, cpu_quotas, find_files, memory_limits
from qprobe.timing.cache import cache_folder

# What the path of a process's cgroup holds, by the runtime that started its container.
_CGROUPS = {"kubernetes": r"/kubepods", "podman": r"/libpod", "docker": r"/docker[-/]",
            "lxc": r"/lxc[./]", "containerd": r"/containerd[-/]"}  # fmt: skip
_NO_LIMIT_BYTES = 2**60  # cgroup v1 writes a number near 2^63 where there is no limit
NVIDIA = "0x10de"  # vendor on the PCI bus
_NODES = ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm", "nvidia-caps", "dxg")  # dxg: WSL's


def probe_host(
    unanswered: dict[str, str], root: Path = ROOT, environment: Mapping[str, str] = os.environ
) -> Host:
    """Ask the files under `root`; what cannot be read is None, and `unanswered` says why."""
    load = _load(root)
    if load is None:
        unanswered["host.load"] = "/proc/loadavg does not tell"
    limits = (limit for limit, _ in memory_limits(root) if limit < _NO_LIMIT_BYTES)
    return Host(
        container=find_container(root, environment),
        kernel_driver=_kernel_driver(root),
        device_nodes=tuple(_device_nodes(root)),
        cpu_limit_cores=min(cpu_quotas(root), default=None),
        memory_limit_bytes=min(limits, default=None),
        load=load,
        cache_is_writable=is_writable(cache_folder("profile")),
    )


def find_container(root: Path, environment: Mapping[str, str]) -> str | None:
    """The kind of container by the marks that its runtime leaves, or None."""
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "kubernetes"
    if _is_there(root / "run/.containerenv"):
        return "podman"
    if {"SINGULARITY_CONTAINER", "APPTAINER_CONTAINER"} & environment.keys():
        return "apptainer"
    words = _read(root / "proc/1/cgroup") + _read(root / "proc/self/cgroup")
    kind = next((kind for kind, path in _CGROUPS.items() if re.search(path, words)), None)
    return "docker" if kind is None and _is_there(root / ".dockerenv") else kind


def is_writable(folder: Path) -> bool:
    """Whether files can be put into the folder, or it can be made; nothing is written."""
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        return False


def list_pci_gpus(root: Path = ROOT) -> tuple[str, ...]:
    """NVIDIA display controllers on the PCI bus as "10de:1db1", with or without a driver."""
    cards = []
    for card in find_files(root / "sys/bus/pci/devices", "*"):
        try:
            vendor, kind, model = (
                (card / name).read_text().strip() for name in ("vendor", "class", "device")
            )
        except OSError:
            continue
        if vendor == NVIDIA and kind.startswith("0x03"):
            cards.append(f"{vendor.removeprefix('0x')}:{model.removeprefix('0x')}")
    return tuple(cards)


def _kernel_driver(root: Path) -> str | None:
    """535.183.01, from the first line of /proc/driver/nvidia/version."""
    words = re.search(
        r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", _read(root / "proc/driver/nvidia/version")
    )
    return words[1] if words else None


def _device_nodes(root: Path) -> Iterator[str]:
    for pattern in _NODES:
        yield from (path.name for path in find_files(root / "dev", pattern))


def _load(root: Path) -> float | None:
    first = _read(root / "proc/loadavg").split(" ")[0]
    return float(first) if re.fullmatch(r"\d+(\.\d+)?", first) else None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
