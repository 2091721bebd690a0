"""Asks torch what it was built for and which GPUs it can use. Imports it, which takes a second."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from qprobe.documents.base import Document, Positive, escape_bytes
from qprobe.documents.machine import IMPORT, Capability, Fingerprint, TorchBuild
from qprobe.errors import QprobeError
from qprobe.kernels.device import cuda_listed, fingerprint


class TorchGpu(Document):
    """A GPU that torch can use. The identifier is for finding it in NVML's list only."""

    device: str
    uuid: str
    name: str
    compute_capability: Capability
    sm_count: Positive
    memory_bytes: Positive


class TorchFacts(Document):
    """What torch says of itself and of the devices; without a build, it could not be imported."""

    build: TorchBuild | None
    gpus: tuple[TorchGpu, ...] = ()
    fingerprints: dict[str, Fingerprint] = Field(default_factory=dict)
    unanswered: dict[str, str]


def ask_torch() -> TorchFacts:
    """Import torch and ask it; whatever its import raises is a fact about it."""
    unanswered: dict[str, str] = {}
    if not _can_import(unanswered):
        return TorchFacts(build=None, unanswered=unanswered)
    return TorchFacts(
        build=_describe_build(unanswered),
        gpus=_list_gpus(unanswered),
        fingerprints=_take_fingerprints(unanswered),
        unanswered=unanswered,
    )


def _can_import(unanswered: dict[str, str]) -> bool:
    try:
        import torch

        _ = torch.__version__  # a folder that is left of it can be imported, too
    except Exception as error:  # the border to a broken installation, which can raise anything
        words = str(error).strip().partition("\n")[0]
        kind = "" if isinstance(error, ImportError | OSError) else f"{type(error).__name__}: "
        unanswered["software.torch"] = f"{IMPORT}{kind}{words}"
        return False
    return True


def _describe_build(unanswered: dict[str, str]) -> TorchBuild:
    import torch

    return TorchBuild(
        version=torch.__version__,
        cuda=torch.version.cuda,
        hip=torch.version.hip,
        arch_list=_arch_list(),
        threads=torch.get_num_threads(),
        onednn=torch.backends.mkldnn.is_available(),
        cxx_compiler=find_cxx_compiler(os.environ, unanswered),
    )


def _arch_list() -> tuple[str, ...]:
    """What torch was built for; `torch.cuda.get_arch_list` tells nothing where no GPU is."""
    import torch

    flags = getattr(torch._C, "_cuda_getArchFlags", None)
    return tuple((flags() or "").split()) if flags else ()


def _list_gpus(unanswered: dict[str, str]) -> tuple[TorchGpu, ...]:
    import torch

    seen = []
    for index in range(cuda_listed()):
        try:
            seen.append(_describe_gpu(index, torch.cuda.get_device_properties(index)))
        except (RuntimeError, AttributeError) as error:
            unanswered[f"fingerprints.cuda:{index}"] = str(error).partition("\n")[0]
    return tuple(seen)


def _describe_gpu(index: int, facts: Any) -> TorchGpu:
    return TorchGpu(
        device=f"cuda:{index}",
        uuid=str(getattr(facts, "uuid", "")),  # an old torch does not tell
        name=facts.name,
        compute_capability=f"{facts.major}.{facts.minor}",
        sm_count=facts.multi_processor_count,
        memory_bytes=facts.total_memory,
    )


def _take_fingerprints(unanswered: dict[str, str]) -> dict[str, Fingerprint]:
    devices = ("cpu", *(f"cuda:{index}" for index in range(cuda_listed())))
    found: dict[str, Fingerprint] = {}
    for device in devices:
        try:
            found[device] = fingerprint(device)
        except (
            RuntimeError,
            AttributeError,
            QprobeError,
        ) as error:  # a GPU that torch lists and cannot start
            unanswered[f"fingerprints.{device}"] = str(error).partition("\n")[0]
    return found


def find_cxx_compiler(environment: Mapping[str, str], unanswered: dict[str, str]) -> str | None:
    """The C++ compiler that `torch.compile` would run, if it and Python's headers are there.

    Its file's name only: the folders may be somebody's.
    """
    # As in torch/_inductor/config.py: it tries no other than this one.
    name = environment.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    found = shutil.which(name, path=environment.get("PATH"))
    name = escape_bytes(Path(name).name)
    if found is None:
        unanswered["software.torch.cxx_compiler"] = f"{name} is not on the PATH"
    elif not Path(sysconfig.get_path("include"), "Python.h").is_file():
        unanswered["software.torch.cxx_compiler"] = f"{name} is there, Python.h is not"
    else:
        return escape_bytes(Path(found).name)
    return None
