"""Asks NVML about GPUs and the driver; `torch_facts` fills in what NVML cannot tell."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, get_args

from qprobe.documents.base import Document
from qprobe.documents.machine import NONE_LISTED, Gpu, ThrottleReason
from qprobe.probe.host import list_pci_gpus
from qprobe.probe.torch_facts import TorchGpu

OTHER_VERSION = (AttributeError, TypeError)
"""What a version of `pynvml` raises where another has the function, or its arguments."""
_MOST_MIG_DEVICES = 64  # a bound for a driver that answers nonsense; seven is the most there is
# Bit n of NVML's mask, in NVML's order.
_REASONS: tuple[ThrottleReason, ...] = get_args(ThrottleReason)


class NvmlAnswer(Document):
    """The GPUs in the driver's order, and the driver's versions."""

    gpus: tuple[Gpu, ...]
    driver: str | None
    cuda_driver: str | None


def has_library() -> bool:
    """Whether there is a driver's library to ask; looked for on Linux only, elsewhere True."""
    if sys.platform != "linux":
        return True
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


@contextmanager
def open_nvml() -> Iterator[tuple[Any, str]]:
    """`pynvml`, started, or None and why not; within, what is asked of it may raise its errors."""
    nvml, words = None, ""
    try:
        import pynvml
    except ImportError as error:
        words = str(error)
    else:
        try:
            pynvml.nvmlInit()
            nvml = pynvml
        except pynvml.NVMLError as error:
            words = str(error)
    try:
        yield nvml, words
    finally:
        if nvml is not None:
            # A driver that went away while it was asked has nothing left to close.
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()


def probe_gpus(seen: Sequence[TorchGpu], unanswered: dict[str, str]) -> NvmlAnswer:
    """Every NVIDIA GPU; where NVML does not answer, what torch sees and why in `unanswered`."""
    with open_nvml() as (nvml, words):
        if nvml is None:
            unanswered["gpus"] = words
            return without_nvml(seen, unanswered)
        return _ask_nvml(nvml, {gpu.uuid: gpu for gpu in seen}, unanswered)


def _ask_nvml(nvml: Any, seen: Mapping[str, TorchGpu], unanswered: dict[str, str]) -> NvmlAnswer:
    def ask(field: str, call: Callable[[], Any]) -> Any:
        try:
            value = call()
            if isinstance(value, bytes):  # so do old versions of `pynvml`
                value = value.decode()
        except (nvml.NVMLError, *OTHER_VERSION) as error:
            unanswered[field] = str(error)
            return None
        except UnicodeDecodeError as error:  # a driver that answers bytes of no text
            unanswered[field] = f"NVML answered what is no text: {error.reason}"
            return None
        if value is None:
            unanswered[field] = "NVML answered 0"
        return value

    gpus = []
    count = ask("gpus", nvml.nvmlDeviceGetCount)
    if count == 0:
        unanswered["gpus"] = NONE_LISTED
    for index in range(count or 0):
        handle = ask(f"gpus.{index}", partial(nvml.nvmlDeviceGetHandleByIndex, index))
        if handle is not None:
            gpus.append(_describe(nvml, ask, index, handle, seen, unanswered))
    cuda = ask("software.cuda_driver", lambda: nvml.nvmlSystemGetCudaDriverVersion_v2())
    return NvmlAnswer(
        gpus=tuple(gpus),
        driver=ask("software.driver", lambda: nvml.nvmlSystemGetDriverVersion()),
        cuda_driver=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
    )


def _describe(
    nvml: Any,
    ask: Callable[[str, Callable[[], Any]], Any],
    index: int,
    handle: Any,
    seen: Mapping[str, TorchGpu],
    unanswered: dict[str, str],
) -> Gpu:
    """One GPU; a rate or size of 0 is no answer."""

    def of(field: str, call: Callable[[], Any]) -> Any:
        return ask(f"gpus.{index}.{field}", call)

    def number(field: str, function: str, *arguments: Any, scale: float | None = None) -> Any:
        def call() -> Any:
            value = getattr(nvml, function)(handle, *arguments)
            return (value if scale is None else value * scale) or None

        return of(field, call)

    capability = of("compute_capability", lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    memory = of("memory_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    if memory is None:
        unanswered[f"gpus.{index}.free_memory_bytes"] = unanswered[f"gpus.{index}.memory_bytes"]
    mig = of("mig", lambda: nvml.nvmlDeviceGetMigMode(handle))
    # The identifier, its own or that of a slice, finds the same card in torch's list, and is not kept.
    uuid = ask(f"gpus.{index}.sm_count", lambda: nvml.nvmlDeviceGetUUID(handle))
    parts = of("mig_profiles", lambda: _slices(nvml, handle)) if mig and mig[0] else None
    known = (uuid, *(part for part, _ in parts or ()))
    facts = next((seen[name] for name in map(_bare, known) if name in seen), None)
    if facts is not None and memory is None:
        del unanswered[f"gpus.{index}.memory_bytes"]
    if facts is None and uuid is not None:
        unanswered[f"gpus.{index}.sm_count"] = "NVML does not tell, and torch does not see this GPU"
    ecc = of("ecc", lambda: nvml.nvmlDeviceGetEccMode(handle))
    return Gpu(
        index=index,
        device=facts and facts.device,
        name=of("name", lambda: nvml.nvmlDeviceGetName(handle)) or "unknown",
        compute_capability=capability and f"{capability[0]}.{capability[1]}",
        sm_count=facts and facts.sm_count,
        memory_bytes=(memory and memory.total) or (facts and facts.memory_bytes),
        free_memory_bytes=memory and memory.free,
        sm_clock_hz=number("sm_clock_hz", "nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM, scale=1e6),
        sm_clock_max_hz=number(
            "sm_clock_max_hz", "nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM, scale=1e6
        ),
        memory_clock_hz=number(
            "memory_clock_hz", "nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM, scale=1e6
        ),
        power_limit_w=number("power_limit_w", "nvmlDeviceGetEnforcedPowerLimit", scale=1e-3),
        power_limit_default_w=number(
            "power_limit_default_w", "nvmlDeviceGetPowerManagementDefaultLimit", scale=1e-3
        ),
        ecc=None if ecc is None else bool(ecc[0]),
        ecc_uncorrected_errors=of(
            "ecc_uncorrected_errors",
            lambda: nvml.nvmlDeviceGetTotalEccErrors(
                handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
            ),
        ),
        mig=None if mig is None else bool(mig[0]),
        mig_profiles=parts and tuple(profile for _, profile in parts),
        processes=of("processes", lambda: _count_other_processes(nvml, handle)),
        performance_state=of("performance_state", lambda: _performance_state(nvml, handle)),
        throttle_reasons=of("throttle_reasons", lambda: _throttle_reasons(nvml, handle)),
        pcie_generation=number("pcie_generation", "nvmlDeviceGetCurrPcieLinkGeneration"),
        pcie_generation_max=number("pcie_generation_max", "nvmlDeviceGetMaxPcieLinkGeneration"),
        pcie_width=number("pcie_width", "nvmlDeviceGetCurrPcieLinkWidth"),
        pcie_width_max=number("pcie_width_max", "nvmlDeviceGetMaxPcieLinkWidth"),
        compute_mode=of("compute_mode", lambda: _compute_mode(nvml, handle)),
    )


def _count_other_processes(nvml: Any, handle: Any) -> int:
    """Processes that compute on the card, but this one and the one that has it ask."""
    running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    return sum(process.pid not in (os.getpid(), os.getppid()) for process in running)


def _performance_state(nvml: Any, handle: Any) -> int:
    state = int(nvml.nvmlDeviceGetPerformanceState(handle))
    if state > 15:  # NVML's word for unknown is 32
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
    return state


def _throttle_reasons(nvml: Any, handle: Any) -> tuple[ThrottleReason, ...]:
    mask = clock_reasons(nvml, handle)
    return tuple(reason for bit, reason in enumerate(_REASONS) if mask >> bit & 1)


def clock_reasons(nvml: Any, handle: Any) -> int:
    """NVML's mask of why the clocks are below their maximum."""
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except (AttributeError, nvml.NVMLError_FunctionNotFound):  # its name before driver 535
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _compute_mode(nvml: Any, handle: Any) -> str:
    mode = nvml.nvmlDeviceGetComputeMode(handle)
    words = {
        nvml.NVML_COMPUTEMODE_DEFAULT: "default",
        nvml.NVML_COMPUTEMODE_EXCLUSIVE_THREAD: "exclusive",
        nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive",
        nvml.NVML_COMPUTEMODE_PROHIBITED: "prohibited",
    }
    if mode not in words:
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
    return words[mode]


def _bare(uuid: object) -> str:
    """The identifier as torch tells it."""
    return str(uuid).removeprefix("GPU-").removeprefix("MIG-")


def _slices(nvml: Any, handle: Any) -> tuple[tuple[str, str], ...]:
    """The identifier of each slice, and what follows "MIG" in its name: "1g.5gb"."""
    found = []
    for index in range(min(nvml.nvmlDeviceGetMaxMigDeviceCount(handle), _MOST_MIG_DEVICES)):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except nvml.NVMLError_NotFound:  # no slice in this place
            continue
        profile = nvml.nvmlDeviceGetName(part).rpartition("MIG ")[2]
        found.append((nvml.nvmlDeviceGetUUID(part), profile))
    return tuple(found)


def without_nvml(seen: Sequence[TorchGpu], unanswered: dict[str, str]) -> NvmlAnswer:
    """GPUs as torch alone describes them, and a note of those that nothing can use."""
    if not seen and (cards := list_pci_gpus()):
        unanswered["gpus.pci"] = f"on the PCI bus, without a driver: {', '.join(cards)}"
    gpus = tuple(
        Gpu(
            index=index,
            device=facts.device,
            name=facts.name,
            compute_capability=facts.compute_capability,
            sm_count=facts.sm_count,
            memory_bytes=facts.memory_bytes,
            **dict.fromkeys(_ONLY_NVML),
        )
        for index, facts in enumerate(seen)
    )
    return NvmlAnswer(gpus=gpus, driver=None, cuda_driver=None)


_ONLY_NVML = (
    "free_memory_bytes", "sm_clock_hz", "sm_clock_max_hz", "memory_clock_hz", "power_limit_w",
    "ecc", "mig", "processes",
)  # fmt: skip
