"""What of the hardware makes a method fast, whether a device has it, and what does."""

from __future__ import annotations

from dataclasses import dataclass

from qprobe.doctor.rules import hardware
from qprobe.documents.machine import Gpu, Machine


@dataclass(frozen=True)
class ProcessorFeature:
    """What a method computes with on a processor."""

    words: str
    flags: dict[str, str]
    """Features of processors, any of which will do → what people call them."""


PROCESSORS: dict[str, ProcessorFeature] = {
    "int8": ProcessorFeature(
        "int8 products with int32 sums",
        {"avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI", "amx_int8": "AMX",
         "dotprod": "Arm dot products", "i8mm": "Arm i8mm"},
    ),
    "fp8": ProcessorFeature("float8 products", {"amx_fp8": "AMX-FP8"}),
    "bf16": ProcessorFeature(
        "bfloat16 products", {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX", "bf16": "Arm bf16"}
    ),
}  # fmt: skip
"""By the names that the same arithmetic has among GPUs."""


def lack_of(feature: str, machine: Machine, device: str) -> str:
    """A sentence on what the device lacks and what has it; "" where it lacks nothing, as far as is known."""
    if not feature:
        return ""
    if device == "cpu":
        return _processor_lacks(PROCESSORS[feature], machine.cpu.features)
    gpu = gpu_of(machine, device)
    if gpu is None or hardware.how(feature, gpu) in (None, "native"):
        return ""
    words = hardware.FEATURES[feature].words
    slow = hardware.how(feature, gpu) == "slow"
    lack = f"is slow in {words}" if slow else f"has no {words}"
    return (
        f"{gpu.name} ({gpu.compute_capability}) {lack}; native: {hardware.native_on(feature, gpu)}"
    )


def _processor_lacks(wanted: ProcessorFeature, features: tuple[str, ...]) -> str:
    if not features or set(wanted.flags) & set(features):
        return ""
    have = ", ".join(dict.fromkeys(wanted.flags.values()))
    return f"this processor has no instructions for {wanted.words}; those with {have} have"


def gpu_of(machine: Machine, device: str) -> Gpu | None:
    """The GPU behind the name of a device."""
    return machine.devices.get(device)
