"""Reads what the CPU is, and has its arithmetic tested."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TypeVar

from qprobe.documents.machine import Cpu
from qprobe.kernels import device
from qprobe.probe.isolated import SelfTestAnswer, run_self_test

T = TypeVar("T")


def probe_cpu(
    has_torch: bool, bandwidth: bool, unanswered: dict[str, str], *, arithmetic: bool = True
) -> Cpu:
    """Ask the system; with torch, test the arithmetic in another process, and measure the memory."""

    def told(field: str, value: T | None, source: str) -> T | None:
        if value is None:
            unanswered[f"cpu.{field}"] = f"{source} does not tell"
        return value

    cache = told("last_level_cache_bytes", device.last_level_cache_bytes(), "/sys")
    available = told("available_memory_bytes", device.available_memory_bytes(), "/proc/meminfo")
    answer = _test_arithmetic(has_torch, unanswered, asked_for=arithmetic)
    copy, read = None, None
    if has_torch and bandwidth:
        from qprobe.probe.bandwidth import measure_bandwidth

        copy, read = measure_bandwidth(cache, available)
    else:
        for field in ("copy_bandwidth_bytes_per_s", "read_bandwidth_bytes_per_s"):
            unanswered[f"cpu.{field}"] = "not asked for" if has_torch else "torch is needed"
    return Cpu(
        model=told("model", device.cpu_model(), "/proc/cpuinfo"),
        architecture=platform.machine(),
        features=device.cpu_features(),
        physical_cores=told("physical_cores", count_physical_cores(), "/sys"),
        usable_cores=device.usable_cores(),
        last_level_cache_bytes=cache,
        memory_bytes=told("memory_bytes", device.memory_bytes(), "/proc/meminfo"),
        available_memory_bytes=available,
        copy_bandwidth_bytes_per_s=copy,
        read_bandwidth_bytes_per_s=read,
        int8_self_test=answer.int8,
        bf16_speed_ratio=answer.bf16_speed_ratio,
    )


def _test_arithmetic(
    has_torch: bool, unanswered: dict[str, str], *, asked_for: bool
) -> SelfTestAnswer:
    if not has_torch or not asked_for:
        why = "not asked for" if has_torch else "torch is needed"
        unanswered["cpu.int8_self_test"] = unanswered["cpu.bf16_speed_ratio"] = why
        return SelfTestAnswer(int8=None, bf16_speed_ratio=None)
    answer = run_self_test()
    if answer.bf16_speed_ratio is None and answer.int8 is not None:
        unanswered["cpu.bf16_speed_ratio"] = answer.int8.words
    return answer


def count_physical_cores(root: Path = device.ROOT) -> int | None:
    """Cores that are not threads of another, or None where the system does not tell."""
    folders = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/topology")
    cores = set()
    for folder in folders:
        try:
            package, core = folder / "physical_package_id", folder / "core_id"
            cores.add((package.read_text().strip(), core.read_text().strip()))
        except OSError:  # a core that is switched off
            continue
    return len(cores) or None
