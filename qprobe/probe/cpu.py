"""Puts together what the CPU is: what the system tells, and what the self-test found."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TypeVar

from qprobe.documents.machine import Cpu, Fingerprint, Int8SelfTest
from qprobe.kernels import device, resources
from qprobe.probe.isolated import SelfTestAnswer

T = TypeVar("T")


def probe_cpu(
    known: Fingerprint | None, tested: SelfTestAnswer, why_not: str, unanswered: dict[str, str]
) -> Cpu:
    """Ask the system for what the fingerprint does not hold.

    `why_not` says why there was no self-test, where there was none.
    """

    def told(field: str, value: T | None, source: str) -> T | None:
        if value is None:
            unanswered[f"cpu.{field}"] = source
        return value

    name = known.name if known else device.cpu_model()
    copy, read = tested.bandwidth or (None, None)
    slow, failed, unknown = (
        tested.broke.get(question, why_not) for question in ("bandwidth", "int8", "bf16")
    )
    return Cpu(
        # The fingerprint calls a CPU without a name by its architecture.
        model=told(
            "model", None if name == platform.machine() else name, "/proc/cpuinfo does not tell"
        ),
        architecture=platform.machine(),
        features=known.features if known else device.cpu_features(),
        physical_cores=told("physical_cores", count_physical_cores(), "/sys does not tell"),
        usable_cores=resources.usable_cores(),
        last_level_cache_bytes=told(
            "last_level_cache_bytes", resources.last_level_cache_bytes(), "/sys does not tell"
        ),
        memory_bytes=told("memory_bytes", resources.memory_bytes(), "/proc/meminfo does not tell"),
        available_memory_bytes=told(
            "available_memory_bytes",
            resources.available_memory_bytes(),
            "/proc/meminfo does not tell",
        ),
        copy_bandwidth_bytes_per_s=told("copy_bandwidth_bytes_per_s", copy, slow),
        read_bandwidth_bytes_per_s=told("read_bandwidth_bytes_per_s", read, slow),
        int8_self_test=told("int8_self_test", _int8(tested), failed),
        bf16_speed_ratio=told("bf16_speed_ratio", tested.bf16, unknown),
    )


def _int8(tested: SelfTestAnswer) -> Int8SelfTest | None:
    """A test that ends its process has an outcome all the same."""
    if words := tested.broke.get("int8"):
        return Int8SelfTest(outcome="failed", worst_relative_error=None, words=words)
    return tested.int8


def count_physical_cores(root: Path = resources.ROOT) -> int | None:
    """Cores that are not threads of another, or None where the system does not tell."""
    cores = set()
    for folder in resources.find_files(root / "sys/devices/system/cpu", "cpu[0-9]*/topology"):
        try:
            package, core = folder / "physical_package_id", folder / "core_id"
            cores.add((package.read_text().strip(), core.read_text().strip()))
        except OSError:  # a core that is switched off
            continue
    return len(cores) or None
