"""Asks NVML about GPUs and the driver, and torch for what NVML cannot tell."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from qprobe.documents.machine import Gpu, GpuState
from qprobe.kernels.device import ROOT, cuda_count

T = TypeVar("T")

NVIDIA = "0x10de"  # vendor on the PCI bus


@dataclass(frozen=True)
class NvmlAnswer:
    """The GPUs in the driver's order, and the driver's versions."""

    gpus: tuple[Gpu, ...]
    driver: str | None
    cuda_driver: str | None


def probe_gpus(has_torch: bool, unanswered: dict[str, str]) -> NvmlAnswer:
    """Every NVIDIA GPU; where NVML does not answer, what torch sees and why in `unanswered`."""
    seen = _ask_torch(unanswered) if has_torch else {}
    try:
        import pynvml
    except ImportError as error:
        unanswered["gpus"] = str(error)
        return _without_nvml(seen, unanswered)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        unanswered["gpus"] = str(error)
        return _without_nvml(seen, unanswered)
    try:
        return _ask_nvml(pynvml, seen, unanswered)
    finally:
        pynvml.nvmlShutdown()


def _ask_nvml(nvml: Any, seen: dict[str, Any], unanswered: dict[str, str]) -> NvmlAnswer:
    def ask(field: str, call: Callable[[], T | None]) -> T | None:
        try:
            value = call()
        except nvml.NVMLError as error:
            unanswered[field] = str(error)
            return None
        if value is None:
            unanswered[field] = "NVML answered 0"
        return value

    gpus = []
    for index in range(ask("gpus", nvml.nvmlDeviceGetCount) or 0):
        handle = ask(f"gpus.{index}", partial(nvml.nvmlDeviceGetHandleByIndex, index))
        if handle is not None:
            gpus.append(_describe(nvml, ask, index, handle, seen, unanswered))
    cuda = ask("software.cuda_driver", nvml.nvmlSystemGetCudaDriverVersion_v2)
    return NvmlAnswer(
        gpus=tuple(gpus),
        driver=ask("software.driver", nvml.nvmlSystemGetDriverVersion),
        cuda_driver=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
    )


def _describe(
    nvml: Any,
    ask: Callable[[str, Callable[[], Any]], Any],
    index: int,
    handle: Any,
    seen: dict[str, Any],
    unanswered: dict[str, str],
) -> Gpu:
    """One GPU; a rate or size of 0 is no answer."""

    def of(field: str, call: Callable[[], Any]) -> Any:
        return ask(f"gpus.{index}.{field}", call)

    def clock(field: str, function: Any, domain: int) -> Any:
        return of(field, lambda: function(handle, domain) * 1e6 or None)

    capability = of("compute_capability", lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    memory = of("memory_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    uuid = of("uuid", lambda: nvml.nvmlDeviceGetUUID(handle))
    facts = seen.get(str(uuid).removeprefix("GPU-"))
    if facts is None:
        unanswered[f"gpus.{index}.sm_count"] = "NVML does not tell, and torch does not see this GPU"
    ecc = of("ecc", lambda: nvml.nvmlDeviceGetEccMode(handle))
    mig = of("mig", lambda: nvml.nvmlDeviceGetMigMode(handle))
    return Gpu(
        index=index,
        name=of("name", lambda: nvml.nvmlDeviceGetName(handle)) or "unknown",
        compute_capability=capability and f"{capability[0]}.{capability[1]}",
        sm_count=facts and facts.multi_processor_count,
        memory_bytes=memory and memory.total,
        free_memory_bytes=memory and memory.free,
        sm_clock_hz=clock("sm_clock_hz", nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
        sm_clock_max_hz=clock(
            "sm_clock_max_hz", nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM
        ),
        memory_clock_hz=clock("memory_clock_hz", nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
        power_limit_w=of(
            "power_limit_w", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3 or None
        ),
        ecc=None if ecc is None else bool(ecc[0]),
        mig=None if mig is None else bool(mig[0]),
        processes=of("processes", lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses(handle))),
    )


def _ask_torch(unanswered: dict[str, str]) -> dict[str, Any]:
    """UUID → torch's properties of each GPU that it can use."""
    import torch

    seen = {}
    for index in range(cuda_count()):
        try:
            facts = torch.cuda.get_device_properties(index)
        except RuntimeError as error:
            unanswered[f"fingerprints.cuda:{index}"] = str(error).partition("\n")[0]
            continue
        seen[str(facts.uuid)] = facts
    return seen


def _without_nvml(seen: dict[str, Any], unanswered: dict[str, str]) -> NvmlAnswer:
    """GPUs as torch alone describes them, and a note of those that nothing can use."""
    if not seen and (cards := list_pci_gpus()):
        unanswered["gpus.pci"] = f"on the PCI bus, without a driver: {', '.join(cards)}"
    gpus = tuple(
        Gpu(
            index=index,
            name=facts.name,
            compute_capability=f"{facts.major}.{facts.minor}",
            sm_count=facts.multi_processor_count,
            memory_bytes=facts.total_memory,
            **dict.fromkeys(_ONLY_NVML),
        )
        for index, facts in enumerate(seen.values())
    )
    return NvmlAnswer(gpus=gpus, driver=None, cuda_driver=None)


_ONLY_NVML = (
    "free_memory_bytes", "sm_clock_hz", "sm_clock_max_hz", "memory_clock_hz", "power_limit_w",
    "ecc", "mig", "processes",
)  # fmt: skip


def list_pci_gpus(root: Path = ROOT) -> tuple[str, ...]:
    """NVIDIA display controllers on the PCI bus as "10de:1db1", with or without a driver."""
    cards = []
    for card in sorted((root / "sys/bus/pci/devices").glob("*")):
        try:
            vendor, kind, model = (
                (card / name).read_text().strip() for name in ("vendor", "class", "device")
            )
        except OSError:
            continue
        if vendor == NVIDIA and kind.startswith("0x03"):
            cards.append(f"{vendor.removeprefix('0x')}:{model.removeprefix('0x')}")
    return tuple(cards)


THROTTLING = {
    0x04: "software power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
"""NVML's bits for reasons that clocks are held down, but for those of an idle GPU or of settings."""


def read_state(uuid: str) -> GpuState | None:
    """What the GPU of that UUID (as torch tells it) is doing now; None where NVML does not answer."""
    try:
        import pynvml as nvml
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
        return _read_state(nvml, handle)
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _read_state(nvml: Any, handle: Any) -> GpuState:
    def ask(call: Callable[[], T]) -> T | None:
        try:
            return call()
        except nvml.NVMLError:
            return None

    def clock(domain: int) -> float | None:
        value = ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, domain) * 1e6)
        return value or None

    celsius = ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    bits = ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    processes = ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    return GpuState(
        sm_clock_hz=clock(nvml.NVML_CLOCK_SM),
        memory_clock_hz=clock(nvml.NVML_CLOCK_MEM),
        temperature_c=celsius,
        power_w=ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3) or None,
        throttled=None
        if bits is None
        else tuple(words for bit, words in THROTTLING.items() if bits & bit),
        other_processes=None if processes is None else _count_others([p.pid for p in processes]),
    )


def _count_others(pids: list[int]) -> int:
    """Processes but this one, which within a container may be listed under another number."""
    others = [pid for pid in pids if pid != os.getpid()]
    return len(others) if len(others) < len(pids) else max(0, len(others) - 1)
