"""Compiles kernels, as they are, for the processor: with g++ and the emulator's headers, kept by content."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.manifest import read_manifest
from qprobe.kernels.sources import find_sources

EMULATOR = Path(__file__).resolve().parent
CACHE = EMULATOR.parent.parent / "build" / "emulator"
SANITIZED = os.environ.get("QP_EMULATOR_SANITIZED") == "1"
"""Whether this process runs kernels built with the address and undefined behaviour sanitizers."""
# Registers start as garbage, too.
FLAGS = ("-std=c++17", "-fPIC", "-shared", "-w", "-g1", "-ftrivial-auto-var-init=pattern")
SANITIZERS = (
    "-fsanitize=address,alignment,bounds",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
)
ENGINE = ("engine", "fibers", "signals", "memory", "floats", "collectives", "wgmma", "boxes")
AT_ONCE = 2
TIMEOUT_S = 180


class EmulatorError(RuntimeError):
    """A kernel did what it must not, or cannot be built."""


@functools.cache
def find_compiler() -> str:
    """The C++ compiler. Without one nothing here can be checked, so that is an error, not a skip."""
    compiler = shutil.which(os.environ.get("CXX") or "g++")
    if compiler is None:
        raise EmulatorError("the emulator needs g++ (or what CXX names), and there is none")
    return compiler


@functools.cache
def load_engine() -> ctypes.CDLL:
    """The emulator itself, with its names open to the kernels that are loaded after it."""
    sources = [EMULATOR / f"{name}.cpp" for name in ENGINE]
    options = [
        *_flavour("-O1" if SANITIZED else "-O2"),
        "-DQP_EMULATED_ARCH=900",
        *map(str, sources),
    ]
    path = _find_or_compile("engine", options, [*sources, *_headers()])
    engine = ctypes.CDLL(str(path), mode=os.RTLD_GLOBAL | os.RTLD_NOW)
    engine.qp_emulator_launch.restype = ctypes.c_int
    return engine


def load_kernel(source: Path, build: Build, capability: str) -> ctypes.c_void_p:
    """The address of the function that calls the kernel."""
    library = _load(compile_kernel(source, build, capability))
    return ctypes.cast(library.qp_emulator_call, ctypes.c_void_p)


def compile_all(wanted: list[tuple[Path, Build, str]]) -> None:
    """Compile what is not there yet, two at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda each: compile_kernel(*each), wanted))


def compile_kernel(source: Path, build: Build, capability: str) -> Path:
    """The library of a kernel, as it is on a compute capability."""
    entry = read_manifest(source).entry
    major, minor = capability.rstrip("af").split(".")
    kernels = find_sources()
    options = [
        *_flavour("-O1"),
        "-DQP_EMULATE",
        f"-DQP_EMULATED_ARCH={major}{minor}0",
        *build.macros(),
        f"-I{kernels}",
        f"-I{EMULATOR}",
    ]
    export = f'#include "{source}"\nQP_EMULATOR_EXPORT({entry})\n'
    headers = [*_headers(), *kernels.glob("*.cuh"), *source.parent.glob("*.cuh")]
    return _find_or_compile(source.stem, options, [source, *headers], export)


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    load_engine()
    return ctypes.CDLL(str(path))


def _flavour(level: str) -> list[str]:
    return [level, *FLAGS, *(SANITIZERS if SANITIZED else ())]


def _headers() -> list[Path]:
    return sorted(EMULATOR.glob("*.h"))


def _find_or_compile(name: str, options: list[str], files: list[Path], text: str = "") -> Path:
    # Where the checkout lies is not part of what is built.
    stable = "\0".join(options).replace(str(EMULATOR.parent.parent), "")
    digest = hashlib.sha256(f"{_version()}\0{stable}\0".encode())
    for path in sorted(set(files)):
        digest.update(path.read_bytes())
    target = CACHE / f"{name}-{digest.hexdigest()[:16]}.so"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        _compile(options, text, target)
    return target


@functools.cache
def _version() -> str:
    command = [find_compiler(), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _compile(options: list[str], text: str, target: Path) -> None:
    """Compile to a temporary name and rename: two processes may be at it."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        source = Path(folder) / "kernel.cpp"
        source.write_text(text)
        command = [find_compiler(), *options, *([str(source)] if text else []), "-o", str(made)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
        if done.returncode:
            raise EmulatorError(f"{target.stem} does not compile:\n{done.stderr.strip()[:3000]}")
        os.replace(made, target)
