"""What a GPU is doing at the moment, by NVML: what held it back, and who else computes on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from qprobe.documents.machine import GpuState
from qprobe.probe.nvml import OTHER_VERSION, clock_reasons, open_nvml

T = TypeVar("T")

THROTTLING = {
    0x04: "software power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
"""NVML's bits for reasons that clocks are held down, but for those of an idle GPU or of settings."""


def read_state(gpu: str | int) -> GpuState | None:
    """What a GPU is doing now; None where NVML does not answer, or the GPU is gone.

    By its UUID, as torch tells it, for a process that computes on it; by NVML's own number for one that
    does not.
    """
    with open_nvml() as (nvml, _words):
        if nvml is None:
            return None
        try:
            if isinstance(gpu, int):
                return _read_state(nvml, nvml.nvmlDeviceGetHandleByIndex(gpu), is_ours=False)
            handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{gpu.removeprefix('GPU-')}")
            return _read_state(nvml, handle, is_ours=True)
        except nvml.NVMLError:
            return None


def _read_state(nvml: Any, handle: Any, *, is_ours: bool) -> GpuState:
    def ask(call: Callable[[], T]) -> T | None:
        try:
            return call()
        except (nvml.NVMLError, *OTHER_VERSION):
            return None

    def clock(domain: int) -> float | None:
        value = ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, domain) * 1e6)
        return value or None

    celsius = ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    bits = ask(lambda: clock_reasons(nvml, handle))
    processes = ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    return GpuState(
        sm_clock_hz=clock(nvml.NVML_CLOCK_SM),
        memory_clock_hz=clock(nvml.NVML_CLOCK_MEM),
        temperature_c=celsius,
        power_w=ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3) or None,
        throttled=None
        if bits is None
        else tuple(words for bit, words in THROTTLING.items() if bits & bit),
        other_processes=None
        if processes is None
        else _count_others([p.pid for p in processes], is_ours=is_ours),
    )


def _count_others(pids: list[int], is_ours: bool = True) -> int:
    """Processes but this one, which within a container may be listed under another number."""
    others = [pid for pid in pids if pid != os.getpid()]
    is_unlisted = is_ours and len(others) == len(pids)
    return max(0, len(others) - 1) if is_unlisted else len(others)
