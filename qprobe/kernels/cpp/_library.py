"""Compiles the C++ sources for this processor, once, and loads the library."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from qprobe.errors import UnavailableError
from qprobe.kernels._sealed import read_sealed, write_sealed
from qprobe.kernels.device import cpu_features, cpu_identity
from qprobe.kernels.sources import find_sources
from qprobe.timing.cache import cache_folder

FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fPIC",
    "-shared",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-w",
)
COMPILE_TIMEOUT_S = 180
TORCH_FOLDER = Path(torch.__file__).resolve().parent


@dataclass(frozen=True)
class Library:
    """The loaded library, or why there is none."""

    handle: ctypes.CDLL | None
    reason: str

    def has(self, symbol: str) -> bool:
        """Whether the library was compiled with the function: each needs instructions of its own."""
        return self.handle is not None and hasattr(self.handle, symbol)


@functools.cache
def load_library() -> Library:
    """The library for this processor: from the cache, or compiled, which takes some seconds.

    A machine without a C++ compiler is no error: the reason says so, and what to do.
    """
    if platform.system() != "Linux":
        return Library(None, f"C++ kernels are built on Linux, not on {platform.system()}")
    try:
        sources = sorted((find_sources() / "cpu").glob("*.cpp"))
        return Library(_find_or_build(sources), "")
    except (UnavailableError, OSError, subprocess.SubprocessError) as error:
        return Library(None, f"no C++ kernels: {' '.join(str(error).split()):.300}")


def why_absent(symbol: str, features: frozenset[str]) -> str:
    """Why a function of the library cannot be used here; "" if it can."""
    library = load_library()
    if library.reason:
        return library.reason
    missing = features.difference(cpu_features())
    if missing or not library.has(symbol):
        return f"its instructions are missing here: {', '.join(sorted(missing or features))}"
    return ""


def _find_or_build(sources: list[Path]) -> ctypes.CDLL:
    # Linked first, torch's own OpenMP is the one that is used: a second one would have threads of its own.
    openmp = find_openmp(_loaded_libraries())
    stem, folder = _name_build(sources, openmp), cache_folder("native")
    try:
        compiler, version = _find_compiler()
        digest = hashlib.sha256("\0".join((*compiler[1:], version)).encode())
        target = folder / f"{stem}-{digest.hexdigest()[:8]}.so"
        return _load(target) or _build(compiler, sources, openmp, target)
    except (UnavailableError, OSError, subprocess.SubprocessError):
        # What another compiler built for this processor serves as well: there may be none where programs run.
        for path in sorted(folder.glob(f"{stem}-*.so"), key=os.path.getmtime, reverse=True):
            if handle := _load(path):
                return handle
        raise


def _name_build(sources: list[Path], openmp: list[str]) -> str:
    """Of all that decides what the machine code is, but the compiler."""
    named = [Path(path).name for path in openmp]
    digest = hashlib.sha256("\0".join((*FLAGS, *named, *cpu_identity())).encode())
    for path in (*sources, *sorted(sources[0].parent.glob("*.h"))):
        digest.update(path.read_bytes())
    return f"qprobe-cpu-{digest.hexdigest()[:16]}"


def _find_compiler() -> tuple[list[str], str]:
    """The words that call it, options among them, and what it says of its version."""
    try:
        words = shlex.split(os.environ.get("CXX") or "g++")
    except ValueError:  # a quote that does not end
        words = []
    if not words or shutil.which(words[0]) is None:
        raise UnavailableError(
            "there is no C++ compiler (g++, or what CXX names)", "install g++, or set CXX"
        )
    told = subprocess.run(
        [*words, "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    return words, told.stdout


def _load(path: Path) -> ctypes.CDLL | None:
    """A library of the cache; None where there is none, or it is not whole, or it does not load."""
    if read_sealed(path) is None:
        return None
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def _build(
    compiler: list[str], sources: list[Path], openmp: list[str], target: Path
) -> ctypes.CDLL:
    """Compile, keep it if the folder can be written, and load it."""
    if os.environ.get("QPROBE_COMPILE") == "never":
        raise UnavailableError("they are not compiled yet: qprobe doctor --full compiles them")
    with tempfile.TemporaryDirectory(prefix="qprobe-") as folder:
        made = Path(folder) / target.name
        command = [*compiler, *FLAGS, *map(str, sources), *openmp, "-o", str(made)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=COMPILE_TIMEOUT_S
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            words = (errors or done.stderr.splitlines() or ["it said nothing"])[0]
            raise UnavailableError(
                f"{Path(compiler[0]).name} cannot compile them: {words}", "update the compiler"
            )
        with contextlib.suppress(OSError):
            write_sealed(target, made.read_bytes())
            return ctypes.CDLL(str(target))
        return ctypes.CDLL(str(made))  # It stays loaded when the file is gone.


def _loaded_libraries() -> set[Path]:
    """The files that are mapped into this process, torch's OpenMP among them."""
    torch.get_num_threads()
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return set()
    return {Path(line.split(maxsplit=5)[-1]) for line in lines if line.count(" ") >= 5}


def find_openmp(loaded: set[Path], torch_folder: Path = TORCH_FOLDER) -> list[str]:
    """The OpenMP library that torch uses, among those loaded, or none.

    It is torch's own, or the system's. Other packages bring theirs as well, in folders `*.libs` beside them: what is
    linked with one of those loads only where that package was imported before.
    """
    names = ("libgomp", "libiomp5", "libomp")
    found = sorted(path for path in loaded if path.name.startswith(names))
    own = [path for path in found if path.is_relative_to(torch_folder)]
    brought = [path for path in found if path.parent.name == f"{torch_folder.name}.libs"]
    shared = [path for path in found if path.parent.suffix != ".libs"]
    return [str(path) for path in (own or brought or shared)[:1]]
