"""Processors, cards and installations that the machines are put together from, by published tables.

Nobody asked such hardware here. What only a measurement tells is left out.
"""

from __future__ import annotations

from typing import Any

from qprobe.documents.machine import Cpu, Gpu, Nvrtc, TorchBuild

GIB = 2**30
_AVX2 = ("avx2", "f16c", "fma")
_AVX512 = ("avx2", "avx512bw", "avx512dq", "avx512f", "avx512vl", "f16c", "fma")
_VNNI = tuple(sorted((*_AVX512, "avx512_vnni")))
_AMX = tuple(sorted((*_VNNI, "amx_bf16", "amx_int8", "amx_tile", "avx512_bf16", "avx512_fp16", "avx_vnni")))  # fmt: skip
_ARM = ("bf16", "dotprod", "fp16", "i8mm", "neon", "sve", "sve2")


def cpu(model: str, features: tuple[str, ...], cores: int, physical: int, gib: int) -> Cpu:
    return Cpu(
        model=model,
        architecture="aarch64" if "neon" in features else "x86_64",
        features=features,
        physical_cores=physical,
        usable_cores=cores,
        last_level_cache_bytes=None,
        memory_bytes=gib * GIB,
        available_memory_bytes=gib * GIB * 15 // 16,
        copy_bandwidth_bytes_per_s=None,
        read_bandwidth_bytes_per_s=None,
        int8_self_test=None,
        bf16_speed_ratio=None,
    )


CPUS = {
    "broadwell": cpu("Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", _AVX2, 8, 4, 60),
    "ryzen": cpu("AMD Ryzen 5 3600 6-Core Processor", _AVX2, 12, 6, 32),
    "epyc-avx2": cpu("AMD EPYC 7R32", _AVX2, 4, 2, 16),
    "trento": cpu("AMD EPYC 7A53 64-Core Processor", _AVX2, 16, 64, 512),
    "skylake": cpu("Intel(R) Xeon(R) CPU @ 2.20GHz", _AVX512, 2, 1, 8),
    "cascade": cpu("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", _AVX512, 8, 20, 64),
    "cascade-vnni": cpu("Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", _VNNI, 4, 2, 16),
    "laptop": cpu("12th Gen Intel(R) Core(TM) i7-1265U", (*_AVX2, "avx_vnni"), 12, 10, 16),
    "sapphire": cpu("Intel(R) Xeon(R) Platinum 8480+", _AMX, 16, 112, 128),
    "sapphire-small": cpu("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", _AMX, 2, 1, 16),
    "graviton": cpu("Neoverse-V1", _ARM[:-1], 4, 4, 8),
    "grace-blackwell": cpu("Cortex-X925", _ARM, 20, 20, 120),
}


def gpu(name: str, capability: str, sms: int, gib: float, watts: float, **changes: Any) -> Gpu:
    """An idle card in a wide slot, by itself."""
    memory = int(gib * GIB)
    fields: dict[str, Any] = {
        "index": 0,
        "name": name,
        "compute_capability": capability,
        "sm_count": sms,
        "memory_bytes": memory,
        "free_memory_bytes": memory - GIB // 2,
        "sm_clock_hz": None,
        "sm_clock_max_hz": None,
        "memory_clock_hz": None,
        "power_limit_w": watts,
        "power_limit_default_w": watts,
        "ecc": True,
        "ecc_uncorrected_errors": 0,
        "mig": None,
        "processes": 0,
        "performance_state": 8,
        "throttle_reasons": ("idle",),
        "pcie_generation": 1,
        "pcie_generation_max": 4,
        "pcie_width": 16,
        "pcie_width_max": 16,
        "compute_mode": "default",
    }
    return Gpu(**fields | changes)


_PLAYER = {"ecc": None, "ecc_uncorrected_errors": None}

GPUS = {
    "v100": gpu("Tesla V100-SXM2-16GB", "7.0", 80, 16, 300.0, pcie_generation_max=3),
    "p40": gpu("Tesla P40", "6.1", 30, 24, 250.0, pcie_generation_max=3),
    "gtx-1660": gpu(
        "NVIDIA GeForce GTX 1660", "7.5", 22, 6, 120.0, pcie_generation_max=3, processes=1, **_PLAYER
    ),
    "t4": gpu("Tesla T4", "7.5", 40, 15, 70.0, pcie_generation_max=3),
    "a10g": gpu("NVIDIA A10G", "8.6", 80, 22.5, 300.0, ecc=False),
    "a100-mig": gpu(
        "NVIDIA A100-SXM4-40GB", "8.0", 108, 40, 400.0, mig=True, mig_profiles=("3g.20gb", "2g.10gb")
    ),
    "l4": gpu("NVIDIA L4", "8.9", 58, 22, 72.0),
    "rtx-4090": gpu(
        "NVIDIA GeForce RTX 4090", "8.9", 128, 24, 300.0, power_limit_default_w=450.0,
        performance_state=2, throttle_reasons=("power_cap", "software_thermal"),
        pcie_generation=4, pcie_width=8, processes=2, ecc=False, ecc_uncorrected_errors=None,
    ),
    "h100": gpu("NVIDIA H100 80GB HBM3", "9.0", 132, 79.65, 700.0, mig=False, pcie_generation_max=5),
    "b200": gpu("NVIDIA B200", "10.0", 148, 179, 1000.0, mig=False, pcie_generation_max=5),
    "b300": gpu("NVIDIA B300 SXM6 AC", "10.3", 148, 268, 1100.0, mig=False, pcie_generation_max=6),
    "gb10": gpu(
        "NVIDIA GB10", "12.1", 48, 119.5, 140.0, free_memory_bytes=None, power_limit_w=None,
        power_limit_default_w=None, pcie_generation=None, pcie_generation_max=None, pcie_width=None,
        pcie_width_max=None, **_PLAYER,
    ),
}  # fmt: skip

_CU13 = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
# The same for 12.4.
_CU126 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
_CU128 = ("sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
_ARM_CU13 = ("sm_80", "sm_90", "sm_100", "sm_110", "sm_120")
BUILDS = {
    # name → version, CUDA, HIP, arch list
    "cpu": ("2.13.0+cpu", None, None, ()),
    "rocm": ("2.13.0+rocm7.1", None, "7.1.25424", ("gfx90a", "gfx942")),
    "2.6-cu124": ("2.6.0+cu124", "12.4", None, _CU126),
    "2.10-cu128": ("2.10.0+cu128", "12.8", None, _CU128),
    "2.13-cu130": ("2.13.0+cu130", "13.0", None, _CU13),
    "2.14-cu126": ("2.14.0+cu126", "12.6", None, _CU126),
    "2.14-cu130": ("2.14.0+cu130", "13.0", None, _CU13),
    "2.14-cu130-arm": ("2.14.0+cu130", "13.0", None, _ARM_CU13),
}


def build(name: str, threads: int, compiler: str | None = "g++") -> TorchBuild:
    version, cuda, hip, archs = BUILDS[name]
    return TorchBuild(
        version=version, cuda=cuda, hip=hip, arch_list=archs, threads=threads, onednn=True,
        cxx_compiler=compiler,
    )  # fmt: skip


_OLD = [
    "5.0",
    "5.2",
    "5.3",
    "6.0",
    "6.1",
    "6.2",
    "7.0",
    "7.2",
    "7.5",
    "8.0",
    "8.6",
    "8.7",
    "8.9",
    "9.0",
]
_NEW = ["7.5", "8.0", "8.6", "8.7", "8.8", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1"]
NVRTC = {
    "12.4": Nvrtc(version="12.4", kind="wheel", architectures=tuple(_OLD)),
    "12.8": Nvrtc(version="12.8", kind="wheel", architectures=(*_OLD, "10.0", "10.1", "12.0")),
    "12.9": Nvrtc(
        version="12.9",
        kind="wheel",
        architectures=(*_OLD, "10.0", "10.1", "10.3", "12.0", "12.1"),
    ),
    "13.0": Nvrtc(version="13.0", kind="wheel", architectures=tuple(_NEW)),
}
