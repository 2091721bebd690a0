"""What applying a plan needs to know of a device, without the probe: which there are, and what identifies one."""

from __future__ import annotations

import functools
import math
import os
import platform
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from qprobe.documents.base import escape_bytes
from qprobe.documents.machine import Fingerprint, slugify
from qprobe.errors import InputError, UnavailableError
from qprobe.kernels.resources import ROOT, memory_bytes, usable_cores

_AVX2 = ("avx2", "f16c", "fma")
_AVX512 = (*_AVX2, "avx512bw", "avx512dq", "avx512f", "avx512vl")
_VNNI = (*_AVX512, "avx512_vnni")
_BF16 = (*_VNNI, "avx512_bf16")
_FP16 = (*_BF16, "avx512_fp16", "avx_vnni")
_AMX = (*_FP16, "amx_bf16", "amx_int8", "amx_tile")

ONEDNN_LIMITS: dict[str, tuple[str, ...]] = {
    "SSE41": (), "AVX": (), "AVX2": _AVX2,
    "AVX2_VNNI": (*_AVX2, "avx_vnni"), "AVX2_VNNI_2": (*_AVX2, "avx_vnni"),
    "AVX512_CORE": _AVX512, "AVX512_CORE_VNNI": _VNNI, "AVX512_CORE_BF16": _BF16,
    "AVX512_CORE_FP16": _FP16, "AVX10_1_512": _FP16,
}  # fmt: skip
"""Value of ONEDNN_MAX_CPU_ISA → the x86 features that oneDNN then still uses.

Values that are not here (AVX512_CORE_AMX and above, ALL, DEFAULT) limit none of ours, and oneDNN ignores
unknown ones. Source: `dnnl_cpu_isa_t` in oneDNN's documentation.
"""

# name in /proc/cpuinfo → ours, which on x86 is the same
_FEATURES: dict[str, str] = {name: name for name in _AMX} | {
    "asimd": "neon", "asimddp": "dotprod", "asimdhp": "fp16", "bf16": "bf16", "i8mm": "i8mm",
    "sve": "sve", "sve2": "sve2", "sme": "sme",
}  # fmt: skip
# key in torch.cpu.get_capabilities() → ours, where it differs
_TORCH_FEATURES = {
    "avx512_f": "avx512f", "avx512_bw": "avx512bw", "avx512_vl": "avx512vl",
    "avx512_dq": "avx512dq", "fma3": "fma", "dot": "dotprod", "fp16_arith": "fp16",
}  # fmt: skip
_BEST_FEATURE_WORDS = {
    "amx_int8": "amx", "avx512_bf16": "avx512-bf16", "avx512_vnni": "avx512-vnni",
    "avx512f": "avx512", "avx_vnni": "avx-vnni", "avx2": "avx2",
    "sme": "sme", "i8mm": "i8mm", "sve": "sve", "dotprod": "dotprod", "neon": "neon",
}  # fmt: skip

# in /proc/cpuinfo: what names a processor's design, on x86 and on Arm
_MODEL = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part", "CPU variant")

_SPEED_VARIABLES = (
    "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE",
    "MKL_DOMAIN_NUM_THREADS", "MKL_DYNAMIC", "MKL_ENABLE_INSTRUCTIONS", "MKL_INTERFACE_LAYER",
    "MKL_NUM_STRIPES", "MKL_NUM_THREADS", "MKL_THREADING_LAYER",
)  # fmt: skip


def fingerprint(device: str) -> Fingerprint:
    """What identifies "cpu" or "cuda:N"; asks torch and the system.

    Raises InputError where the device is not there, UnavailableError where its memory is unknown.
    """
    import torch

    device = parse_device(device)
    if device != "cpu":
        facts = torch.cuda.get_device_properties(device)
        return Fingerprint(
            slug=gpu_slug(facts.name),
            kind="cuda",
            name=facts.name,
            features=(f"sm_{facts.major}{facts.minor}",),
            units=facts.multi_processor_count,
            memory_bytes=_whole_gib(facts.total_memory),
            software={"torch": torch.__version__, "cuda": str(torch.version.cuda)},
        )
    memory = memory_bytes()
    if memory is None:
        raise UnavailableError("cannot tell how much memory this machine has", "mount /proc")
    name = cpu_model() or platform.machine()
    features, cores = cpu_features(), usable_cores()
    return Fingerprint(
        slug=cpu_slug(name, features, cores),
        kind="cpu",
        name=name,
        features=features,
        units=cores,
        memory_bytes=_whole_gib(memory),
        software={"torch": torch.__version__, "threads": str(torch.get_num_threads())}
        | speed_environment(os.environ),
    )


def _whole_gib(count: int) -> int:
    # Up, because a kernel keeps a part of the memory to itself, which differs from boot to boot.
    return math.ceil(count / 2**30) * 2**30


def cuda_listed() -> int:
    """How many NVIDIA GPUs torch counts, whether or not it can use them; `torch.cuda` may also stand for ROCm."""
    import torch

    return torch.cuda.device_count() if torch.version.cuda else 0


@functools.cache
def cuda_fault() -> str:
    """Why torch cannot use any GPU that it counts, as where the driver is older than its CUDA; "" if it can."""
    import torch

    if not cuda_listed():
        return ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"{' '.join(str(error).split()):.200}"
    return ""


def cuda_count() -> int:
    """How many NVIDIA GPUs torch can use."""
    return 0 if cuda_fault() else cuda_listed()


def default_device() -> str:
    """The first NVIDIA GPU that torch can use, else the CPU."""
    return "cuda:0" if cuda_count() else "cpu"


def parse_device(text: str) -> str:
    """Check "cpu", "cuda" or "cuda:N" against what is there; raises InputError naming that."""
    if text == "cpu":
        return text
    there = ("cpu", *(f"cuda:{index}" for index in range(cuda_count())))
    hint = f"on this machine: {', '.join(there)}"
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", text, re.ASCII)
    if match is None:
        raise InputError(f"device {text!r:.40} is neither cpu nor cuda:N", hint)
    device = f"cuda:{int(match[1] or 0)}"
    if device not in there:
        raise InputError(f"device {device} was asked for, {_torch_words(len(there) - 1)}", hint)
    return device


def _torch_words(count: int) -> str:
    import torch

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    found = f"torch {torch.__version__} with {built} finds {count} NVIDIA GPUs"
    return f"{found}: {cuda_fault()}" if cuda_fault() else found


def speed_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables, where set, that decide how fast the CPU kernels are: by which instructions, on how many threads."""
    return {
        name: escape_bytes(value)
        for name, value in sorted(environment.items())
        if name in _SPEED_VARIABLES
    }


def cpu_slug(name: str, features: tuple[str, ...], cores: int) -> str:
    """A short name such as `cpu-amd-epyc-avx2-2c`."""
    name = re.sub(r"\((R|TM)\)|®|™", " ", name, flags=re.IGNORECASE)
    name = re.sub(r"@.*|\bw/.*|\bwith\b.*", "", name, flags=re.IGNORECASE)
    name = re.sub(r"\b(\d+th Gen|\w+-Core|CPU|Processor)\b", "", name, flags=re.IGNORECASE)
    best = next((word for key, word in _BEST_FEATURE_WORDS.items() if key in features), "")
    return slugify("cpu", name, best, f"{cores}c")


def gpu_slug(name: str) -> str:
    """A short name such as `v100-sxm2-16gb`, without the vendor's words."""
    return slugify(re.sub(r"\b(NVIDIA|Tesla|GeForce|Quadro)\b", "", name)) or "gpu"


def cpu_model(root: Path = ROOT) -> str | None:
    """The processor's name, or None where the system does not tell."""
    return _first_processor(root).get("model name") or _torch_capabilities().get("cpu_name")


def cpu_features(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Sorted ISA features that matter to matrix products, as oneDNN may use them."""
    processor = _first_processor(root)
    names = (processor.get("flags") or processor.get("Features") or "").split()
    found = {_FEATURES[name] for name in names if name in _FEATURES}
    if not names:
        known = set(_FEATURES.values())
        told = (_TORCH_FEATURES.get(key, key) for key, on in _torch_capabilities().items() if on)
        found = known.intersection(told)
    limit = environment.get("ONEDNN_MAX_CPU_ISA") or environment.get("DNNL_MAX_CPU_ISA") or ""
    if limit.upper() in ONEDNN_LIMITS:
        found -= set(_AMX) - set(ONEDNN_LIMITS[limit.upper()])
    return tuple(sorted(found))


def cpu_identity(root: Path = ROOT) -> tuple[str, ...]:
    """All that tells for which instructions a compiler builds that builds for this processor.

    `cpu_features` has those that matter to products; a compiler uses whatever else is there.
    """
    processor = _first_processor(root)
    flags = (processor.get("flags") or processor.get("Features") or "").split()
    return (platform.machine(), *(processor.get(key, "") for key in _MODEL), *sorted(flags))


def _first_processor(root: Path) -> dict[str, str]:
    """The first block of /proc/cpuinfo; reading all of it is slow on machines of many cores."""
    block: dict[str, str] = {}
    with (
        suppress(OSError),
        (root / "proc/cpuinfo").open(encoding="utf-8", errors="replace") as file,
    ):
        for line in file:
            key, colon, value = line.partition(":")
            if not colon:
                break
            block[key.strip()] = value.strip()
    return block


def _torch_capabilities() -> Mapping[str, str]:
    """What torch ≥ 2.11 tells of the CPU, for systems without /proc; empty where it does not.

    A process that has not imported torch does not import it for this.
    """
    if "torch" not in sys.modules:
        return {}
    try:
        from torch.cpu import get_capabilities
    except (ImportError, OSError):  # OSError: a shared library of torch does not load
        return {}
    capabilities: Mapping[str, str] = get_capabilities()
    return capabilities
