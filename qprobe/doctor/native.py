"""Which hardware computes what by instructions of its own: what would run a method that this one lacks.

GPUs by compute capability, dense products, read off the machine code that NVIDIA's assembler emits: what
it lowers to something slower is not native. A GTX 16xx reports 7.5 and has no tensor cores.
"""

from __future__ import annotations

from dataclasses import dataclass

from qprobe.documents.machine import Machine

WITHOUT_TENSOR_CORES = ("GTX 16", "GeForce MX")


@dataclass(frozen=True)
class Feature:
    """What a method computes with, and where it is native."""

    words: str
    capabilities: tuple[str, ...]
    """Of GPUs, as "8.9"."""
    cpu: tuple[str, ...] = ()
    """Features of CPUs, any of which will do."""


FEATURES: dict[str, Feature] = {
    "int8": Feature(
        "int8 products with int32 sums",
        ("7.2", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1"),
        ("avx512_vnni", "avx_vnni", "amx_int8", "dotprod", "i8mm"),
    ),
    "fp8": Feature(
        "float8 products", ("8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1"), ("amx_fp8",)
    ),
    "bf16": Feature(
        "bfloat16 products",
        ("8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1"),
        ("avx512_bf16", "amx_bf16", "bf16"),
    ),
    "fp16": Feature(
        "float16 products",
        ("7.0", "7.2", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0",
         "12.1"),
        ("avx512_fp16", "fp16"),
    ),
}  # fmt: skip

_EXAMPLES = {
    "7.0": "V100", "7.5": "T4", "8.0": "A100", "8.6": "A10", "8.9": "L4", "9.0": "H100",
    "10.0": "B200", "10.3": "B300", "12.0": "RTX 5090", "12.1": "GB10",
}  # fmt: skip
_CPU_EXAMPLES = {
    "avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI", "amx_int8": "AMX", "amx_bf16": "AMX",
    "avx512_bf16": "AVX512-BF16", "avx512_fp16": "AVX512-FP16", "dotprod": "Arm dot products",
    "i8mm": "Arm i8mm", "amx_fp8": "AMX-FP8", "bf16": "Arm bf16", "fp16": "Arm fp16",
}  # fmt: skip


def is_native(feature: str, machine: Machine, device: str) -> bool | None:
    """Whether a device of the machine has the feature; None where its kind is not known."""
    wanted = FEATURES[feature]
    if device == "cpu":
        return bool(set(wanted.cpu) & set(machine.cpu.features)) if machine.cpu.features else None
    gpu = next((item for item in machine.gpus if f"cuda:{item.index}" == device), None)
    if gpu is None or gpu.compute_capability is None:
        return None
    if any(name in gpu.name for name in WITHOUT_TENSOR_CORES):
        return False
    return gpu.compute_capability in wanted.capabilities


def lack_of(feature: str, machine: Machine, device: str) -> str:
    """A sentence on what the device lacks and what has it; "" where it lacks nothing, as far as is known."""
    if not feature or is_native(feature, machine, device) is not False:
        return ""
    wanted = FEATURES[feature]
    if device == "cpu":
        have = ", ".join(dict.fromkeys(_CPU_EXAMPLES[name] for name in wanted.cpu))
        return f"this processor has no instructions for {wanted.words}; those with {have} have"
    have = ", ".join(
        f"{item} ({_EXAMPLES[item]})" if item in _EXAMPLES else item for item in wanted.capabilities
    )
    gpu = next(item for item in machine.gpus if f"cuda:{item.index}" == device)
    return (
        f"{gpu.name} ({gpu.compute_capability}) has no tensor cores for {wanted.words}; "
        f"native on {have}"
    )
