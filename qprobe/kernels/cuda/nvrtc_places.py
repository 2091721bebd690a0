"""Where NVRTC libraries lie on Linux: in pip's packages, beside torch, in CUDA toolkits, in the system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from qprobe.kernels.resources import find_files

TOOLKITS = Path("/usr/local")
SYSTEM = (Path("/usr/lib"), Path("/usr/lib64"))

Kind = Literal["wheel", "torch", "toolkit", "system"]


def find_libraries() -> dict[Path, Kind]:
    """Every NVRTC library, each once, with the kind of place that it is in. Reads the disk."""
    found: dict[Path, Kind] = {}
    for folder, pattern, kind in _places():
        for path in find_files(folder, pattern):
            # `.alt.` is another build of the same for hosts with little memory; `builtins` its header.
            if ".alt." not in path.name and "builtins" not in path.name and os.path.isfile(path):
                found.setdefault(Path(os.path.realpath(path)), kind)
    return found


def _places() -> Iterator[tuple[Path, str, Kind]]:
    """Folder, pattern of files in it, and kind."""
    for entry in dict.fromkeys(sys.path):
        folder = Path(entry or ".")
        yield folder, "nvidia/*/lib/libnvrtc.so*", "wheel"
        yield folder, "torch/lib/libnvrtc*.so*", "torch"
    for folder in _toolkits():
        for pattern in ("lib64/libnvrtc.so*", "lib/libnvrtc.so*", "targets/*/lib/libnvrtc.so*"):
            yield folder, pattern, "toolkit"
    yield Path(sys.prefix), "lib/libnvrtc.so*", "toolkit"  # conda
    for entry in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if entry:
            yield Path(entry), "libnvrtc.so*", "system"
    for folder in SYSTEM:
        yield folder, "libnvrtc.so*", "system"
        yield folder, "*-linux-gnu/libnvrtc.so*", "system"


def _toolkits() -> Iterator[Path]:
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if value := os.environ.get(variable):
            yield Path(value)
    yield from find_files(TOOLKITS, "cuda*")
