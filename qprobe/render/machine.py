"""What was asked of the machine, as a page of text."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType

from qprobe.documents.machine import Cpu, Gpu, Host, Int8SelfTest, Machine, Software
from qprobe.render.page import DEFAULT_WIDTH, bullets, indent, pairs, render, words
from qprobe.render.units import format_bytes, format_digits, format_rate, format_ratio

UNKNOWN = "unknown"
FROM_TABLES = "Written from tables: nobody asked such a machine, and nothing was measured."


def machine_text(machine: Machine, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """Processor, GPUs, software, and what could not be read."""
    blocks: list[RenderableType] = []
    if machine.origin == "tables":
        blocks.append(words(FROM_TABLES))
    for title, rows in machine_sections(machine):
        shown = pairs(rows) if rows else words("none")
        blocks += [words(title, "bold"), indent(shown, 2)]
    if machine.unanswered:
        lines = (f"{field}: {why}" for field, why in sorted(machine.unanswered.items()))
        blocks += [words("Could not be read", "bold"), indent(bullets(lines), 2)]
    return render(blocks, width, color)


def machine_sections(machine: Machine) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titles, each with names and what they are; no rows: there is none such."""
    found = [("Processor", list(_cpu(machine.cpu)))]
    found += [(f"GPU {gpu.index}", list(_gpu(gpu))) for gpu in machine.gpus]
    if not machine.gpus:
        found.append(("GPU", [("cards", "not asked about")] if machine.gpus_are_left_out else []))
    found.append(("Software", list(_software(machine.software))))
    if machine.host is not None:
        found.append(("Surroundings", list(_host(machine.host))))
    slugs = [(device, print_.slug) for device, print_ in sorted(machine.fingerprints.items())]
    if slugs:
        found.append(("Devices, as plans name them", slugs))
    return found


def _cpu(cpu: Cpu) -> Iterator[tuple[str, str]]:
    yield "model", f"{cpu.model or UNKNOWN} ({cpu.architecture})"
    cores = f"{cpu.usable_cores} usable"
    yield "cores", f"{cores} of {cpu.physical_cores}" if cpu.physical_cores else cores
    yield "features", " ".join(cpu.features) or "none that matter"
    yield "memory", _memory(cpu.memory_bytes, cpu.available_memory_bytes, "available")
    if cpu.last_level_cache_bytes:
        yield "last-level cache", format_bytes(cpu.last_level_cache_bytes)
    yield "copy bandwidth", _rate(cpu.copy_bandwidth_bytes_per_s)
    yield "read bandwidth", _rate(cpu.read_bandwidth_bytes_per_s)
    yield "int8 self-test", _self_test(cpu.int8_self_test)
    if cpu.bf16_speed_ratio is None:
        yield "bf16 speed", UNKNOWN
    else:
        yield "bf16 speed", f"{format_ratio(cpu.bf16_speed_ratio)} that of fp32"


def _gpu(gpu: Gpu) -> Iterator[tuple[str, str]]:
    yield "name", gpu.name
    capability = gpu.compute_capability
    yield "architecture", f"sm_{capability.replace('.', '')}" if capability else UNKNOWN
    yield "SMs", str(gpu.sm_count or UNKNOWN)
    yield "memory", _memory(gpu.memory_bytes, gpu.free_memory_bytes, "free")
    yield "SM clock", f"{_clock(gpu.sm_clock_hz)} of {_clock(gpu.sm_clock_max_hz)}"
    yield "memory clock", _clock(gpu.memory_clock_hz)
    watts = gpu.power_limit_w
    yield "power limit", UNKNOWN if watts is None else f"{format_digits(watts)} W"
    yield "ECC, MIG", f"{_switch(gpu.ecc)}, {_switch(gpu.mig)}"
    if gpu.mig_profiles:
        yield "slices", ", ".join(gpu.mig_profiles)
    if gpu.throttle_reasons:
        yield "clocks held by", ", ".join(gpu.throttle_reasons).replace("_", " ")
    if gpu.pcie_width and gpu.pcie_width_max:
        yield "PCIe lanes", f"{gpu.pcie_width} of {gpu.pcie_width_max}"
    yield "processes", UNKNOWN if gpu.processes is None else str(gpu.processes)


def _software(software: Software) -> Iterator[tuple[str, str]]:
    yield "system", f"{software.os}, Python {software.python}"
    if software.torch is None:
        yield "torch", "not installed"
    else:
        torch = software.torch
        built_for = (
            f"CUDA {torch.cuda}" if torch.cuda else f"HIP {torch.hip}" if torch.hip else "CPU"
        )
        yield "torch", f"{torch.version}, built for {built_for}, {torch.threads} threads"
        yield "C++ compiler", torch.cxx_compiler or "none"
    yield "driver", software.driver or "none"
    if software.cuda_driver:
        yield "driver's CUDA", software.cuda_driver
    if software.nvrtc:
        yield "NVRTC", ", ".join(f"{item.version} ({item.kind})" for item in software.nvrtc)
    packages = (f"{name} {version}" for name, version in sorted(software.packages.items()))
    yield "packages", ", ".join(packages) or "none that matter"
    yield from sorted(software.environment.items())


def _host(host: Host) -> Iterator[tuple[str, str]]:
    yield "container", host.container or "none"
    if host.cpu_limit_cores is not None:
        yield "limit of cores", format_digits(host.cpu_limit_cores)
    if host.memory_limit_bytes is not None:
        yield "limit of memory", format_bytes(host.memory_limit_bytes)
    yield "load before", UNKNOWN if host.load is None else f"{host.load:.2f}"
    if host.kernel_driver:
        yield "kernel's driver", host.kernel_driver
    if host.device_nodes:
        yield "device files", " ".join(host.device_nodes)


def _memory(total: int | None, free: int | None, noun: str) -> str:
    parts = [format_bytes(total) if total is not None else UNKNOWN]
    if free is not None:
        parts.append(f"{format_bytes(free)} {noun}")
    return ", ".join(parts)


def _self_test(test: Int8SelfTest | None) -> str:
    return UNKNOWN if test is None else f"{test.outcome}: {test.words}"


def _rate(rate: float | None) -> str:
    return UNKNOWN if rate is None else format_rate(rate)


def _clock(hertz: float | None) -> str:
    return UNKNOWN if hertz is None else f"{hertz / 1e6:.0f} MHz"


def _switch(state: bool | None) -> str:
    return UNKNOWN if state is None else "on" if state else "off"
