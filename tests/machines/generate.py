"""Rewrites the machines and what the doctor finds on them: `python -m tests.machines.generate`.

Read the differences line by line before they are kept: what the text files say is what people are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qprobe.doctor import run_checks
from qprobe.documents.files import save_document, write_text
from qprobe.documents.finding import Finding
from qprobe.documents.machine import (
    MEASURED,
    Cpu,
    Fingerprint,
    Gpu,
    Host,
    Machine,
    Software,
    TorchBuild,
)
from qprobe.kernels.device import cpu_slug, gpu_slug
from tests.machines.parts import CPUS, GPUS, NVRTC, build

FOLDER = Path(__file__).parent
NO_LIBRARY = "NVML Shared Library Not Found"
_PACKAGES = {
    "numpy": "2.4.6",
    "scipy": "1.17.1",
    "safetensors": "0.8.0",
    "huggingface-hub": "2.4.0",
    "transformers": "5.23.0",
    "nvidia-ml-py": "13.615.71",
}
_BNB = {"bitsandbytes": "0.50.2", "peft": "0.21.2"}
_LONG_AGO = {
    "numpy": "1.26.4",
    "scipy": "1.13.1",
    "safetensors": "0.4.3",
    "huggingface-hub": "0.23.2",
    "accelerate": "0.30.1",
    "transformers": "4.40.2",
    "bitsandbytes": "0.43.1",
    "peft": "0.10.0",
}
_BARE = Host(
    container=None,
    kernel_driver=None,
    device_nodes=(),
    cpu_limit_cores=None,
    memory_limit_bytes=None,
    load=0.1,
    cache_is_writable=True,
)


def make(
    processor: str,
    card: str | tuple[str, ...] | None = None,
    torch: str | None = "cpu",
    *,
    threads: int | None = None,
    compiler: str | None = "g++",
    driver: tuple[str, str] | None = None,
    packages: Mapping[str, str] = {},
    nvrtc: tuple[str, ...] = (),
    environment: Mapping[str, str] = {},
    host: Host = _BARE,
    unanswered: Mapping[str, str] = {},
    torch_sees: bool = True,
    **gpu_changes: Any,
) -> Machine:
    """A machine of these parts; the driver is its version and the latest CUDA that it takes."""
    cpu = CPUS[processor]
    built = (
        build(torch, threads or min(cpu.usable_cores, cpu.physical_cores or 1), compiler)
        if torch
        else None
    )
    cards = (card,) if isinstance(card, str) else card or ()
    is_seen = torch_sees and built is not None and built.cuda is not None
    gpus = tuple(
        GPUS[name].model_copy(
            update={"index": index, "device": f"cuda:{index}" if is_seen else None} | gpu_changes
        )
        for index, name in enumerate(cards)
    )
    if driver:
        nodes = (*(f"nvidia{gpu.index}" for gpu in gpus), "nvidiactl", "nvidia-uvm")
        host = host.model_copy(update={"kernel_driver": driver[0], "device_nodes": nodes})
    installed = {"torch": built.version} if built else {}
    if built and built.cuda:
        installed["triton"] = "3.7.1" if built.version > "2.11" else "3.2.0"
    found = dict(sorted((_PACKAGES | dict(packages) | installed).items()))
    return Machine(
        origin="tables",
        created_utc=datetime(2026, 11, 25, 12, tzinfo=UTC),
        cpu=cpu,
        gpus=gpus,
        software=Software(
            os="Ubuntu 24.04.3 LTS, Linux 6.8.0-87-generic " + cpu.architecture,
            python="3.11.14",
            packages={name: version for name, version in found.items() if version},
            torch=built,
            driver=driver[0] if driver else None,
            cuda_driver=driver[1] if driver else None,
            environment=dict(environment),
            nvrtc=tuple(NVRTC[name] for name in nvrtc),
        ),
        fingerprints=_fingerprints(cpu, gpus if torch_sees else (), built),
        unanswered=_silence(gpus, built) | dict(unanswered),
        host=host,
    )


def _silence(gpus: tuple[Gpu, ...], built: TorchBuild | None) -> dict[str, str]:
    words = {f"cpu.{name}": "written from tables" for name in MEASURED}
    words["cpu.last_level_cache_bytes"] = "written from tables"
    if not gpus:
        words["gpus"] = NO_LIBRARY
    for gpu in gpus:
        for name, value in gpu:
            if value is None and name not in ("mig_profiles", "device"):
                clock = name.startswith(("sm_clock", "memory_clock"))
                words[f"gpus.{gpu.index}.{name}"] = (
                    "written from tables" if clock else "Not Supported"
                )
    return words


def _fingerprints(
    cpu: Cpu, gpus: tuple[Gpu, ...], built: TorchBuild | None
) -> dict[str, Fingerprint]:
    if built is None:
        return {}
    name = cpu.model or cpu.architecture
    found = {
        "cpu": Fingerprint(
            slug=cpu_slug(name, cpu.features, cpu.usable_cores),
            kind="cpu",
            name=name,
            features=cpu.features,
            units=cpu.usable_cores,
            memory_bytes=cpu.memory_bytes or 1,
            software={"torch": built.version, "threads": str(built.threads)},
        )
    }
    for gpu in gpus if built.cuda else ():
        found[f"cuda:{gpu.index}"] = Fingerprint(
            slug=gpu_slug(gpu.name),
            kind="cuda",
            name=gpu.name,
            features=(f"sm_{(gpu.compute_capability or '').replace('.', '')}",),
            units=gpu.sm_count or 1,
            memory_bytes=gpu.memory_bytes or 1,
            software={"torch": built.version, "cuda": str(built.cuda)},
        )
    return found


_R580, _R550, _R535 = ("580.95.05", "13.0"), ("550.163.01", "12.4"), ("535.183.01", "12.2")
_CUDA13 = {"cupy-cuda13x": "14.2.0", "nvidia-cuda-nvrtc": "13.0.88"}
_CUDA12 = {"cupy-cuda12x": "14.2.0", "nvidia-cuda-nvrtc-cu12": "12.9.86"}
_FRESH: dict[str, Any] = {"torch": "2.14-cu130", "driver": _R580, "nvrtc": ("13.0",)}
_NO_TORCH = {f"cpu.{name}": "torch is needed" for name in MEASURED} | {
    "software.torch": "import torch: No module named 'torch'"
}

MACHINES: dict[str, Machine] = {
    # The founding case, on the versions of https://github.com/bitsandbytes-foundation/bitsandbytes/issues/1242
    "v100_old_peft": make(
        "broadwell", "v100", "2.6-cu124", driver=_R535, nvrtc=("12.4",),
        packages=_LONG_AGO | {"cupy-cuda12x": "14.2.0", "nvidia-cuda-nvrtc-cu12": "12.4.127"},
    ),
    # The same card with all that suits it today.
    "v100_cu126_torch": make(
        "broadwell", "v100", "2.14-cu126", driver=_R580, nvrtc=("12.9",), packages=_BNB | _CUDA12
    ),
    # The same card after a plain `pip install torch cupy-cuda13x`: the driver reports CUDA 13.
    "v100_cu13_torch": make(
        "broadwell", "v100", "2.13-cu130", driver=_R580, nvrtc=("13.0",), packages=_BNB | _CUDA13
    ),
    "p40": make(
        "broadwell", "p40", "2.10-cu128", driver=_R535, nvrtc=("12.8",),
        packages=_BNB | {"cupy-cuda12x": "13.6.0", "nvidia-cuda-nvrtc-cu12": "12.8.93"},
    ),
    "gtx_1660": make("ryzen", "gtx-1660", packages=_BNB | _CUDA13, **_FRESH),
    "t4": make("cascade-vnni", "t4", packages=_BNB | _CUDA13, **_FRESH),
    # A workstation with an old card beside a new one, by the one build that has code for both.
    "p40_beside_rtx_4090": make(
        "ryzen", ("rtx-4090", "p40", "p40"), "2.14-cu126", driver=_R580, nvrtc=("12.9",),
        packages=_BNB | _CUDA12 | {"torchao": "0.18.0"},
    ),
    # A build for CUDA 12.8 on a driver for 12.4: the major version counts.
    "a10g": make(
        "epyc-avx2", "a10g", "2.10-cu128", driver=_R550, nvrtc=("12.8",), packages=_CUDA12
    ),
    "a100_mig": make("sapphire", "a100-mig", packages=_CUDA13, **_FRESH),
    "l4": make("cascade-vnni", "l4", packages=_CUDA13, **_FRESH),
    "rtx_4090": make("ryzen", "rtx-4090", packages=_BNB | _CUDA13, **_FRESH),
    "h100_cu13": make("sapphire", "h100", packages={"peft": "0.21.2"} | _CUDA13, **_FRESH),
    "b200": make("sapphire", "b200", packages=_CUDA13, **_FRESH),
    "b300": make("sapphire", "b300", packages=_BNB | _CUDA13, **_FRESH),
    "gb10": make(
        "grace-blackwell", "gb10", "2.14-cu130-arm", driver=_R580, nvrtc=("13.0",), packages=_CUDA13
    ),
    "old_driver": make(
        "cascade-vnni", "t4", "2.13-cu130", driver=("470.256.02", "11.4"), nvrtc=("13.0",),
        packages=_CUDA13, torch_sees=False,
        unanswered={"fingerprints.cuda:0": "The NVIDIA driver on your system is too old"},
    ),
    "container_without_gpu": make(
        "sapphire", None, "2.14-cu130", nvrtc=("13.0",), packages=_CUDA13,
        host=_BARE.model_copy(update={
            "container": "docker", "kernel_driver": "580.95.05", "cpu_limit_cores": 4.0,
            "memory_limit_bytes": 32 * 2**30,
        }),
        unanswered={"gpus.pci": "on the PCI bus, without a driver: 10de:2330"},
    ),
    "two_cupys": make(
        "cascade-vnni", "l4", packages=_CUDA13 | {"cupy-cuda12x": "14.2.0"}, **_FRESH
    ),
    "gpu_with_cpu_torch": make("epyc-avx2", "a10g", "cpu", driver=_R550),
    "gpu_without_driver": make(
        "cascade-vnni", unanswered={"gpus.pci": "on the PCI bus, without a driver: 10de:1eb8"}
    ),
    "laptop_avx_vnni": make(
        "laptop", threads=16, compiler=None, packages={"transformers": "", "huggingface-hub": ""},
        environment={"OMP_NUM_THREADS": "16", "TORCHDYNAMO_DISABLE": "1"},
        unanswered={"software.torch.cxx_compiler": "g++ is not on the PATH"},
    ),
    "avx512_limited": make(
        "cascade", threads=4,
        environment={"OMP_NUM_THREADS": "4", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    ),
    "epyc_avx2": make("epyc-avx2"),
    "graviton3": make("graviton"),
    "no_torch": make(
        "skylake", torch=None, unanswered=_NO_TORCH,
        packages={name: "" for name in ("scipy", "safetensors", "transformers", "huggingface-hub")},
    ),
    "rocm": make("trento", torch="rocm"),
    "xeon_amx": make("sapphire-small", packages=_BNB),
}  # fmt: skip
"""Name → machine; each is a file, and what the doctor finds on it another."""


def expected(machine: Machine) -> str:
    """Every finding, word for word."""
    return "\n".join(block for finding in run_checks(machine) for block in _block(finding))


def _block(finding: Finding) -> list[str]:
    more = finding.detail.splitlines()
    if finding.fix:
        more += [
            *f"fix: {finding.fix.text}".splitlines(),
            *(f"{label} $ {c}".lstrip() for label, c in finding.fix.labelled()),
        ]
        more += [f"see {finding.fix.link}"] if finding.fix.link else []
    return [
        f"{finding.status:5} {finding.id}: {finding.summary}",
        *(f"      {line}" for line in more),
        "",
    ]


def main() -> None:
    """Write both files of every machine."""
    for name, machine in MACHINES.items():
        save_document(machine, FOLDER / f"{name}.json")
        write_text(expected(machine), FOLDER / f"{name}.txt")


if __name__ == "__main__":
    main()
