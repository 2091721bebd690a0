"""NVRTC, NVIDIA's compiler as a library: found by path, several side by side, none of them needing a card.

No one version builds for every card: 12.9 is the last for those before 7.5, 13 the first for the newest. And
code by CUDA 13 does not load on a driver for CUDA 12. So the compiler is chosen for the card, by what it says of itself.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda.nvrtc_places import find_libraries

UNIVERSAL = "pip install nvidia-cuda-nvrtc-cu12==12.9.86"
"""The last version that builds for every card from Maxwell on to the first of Blackwell."""
NEWEST = "pip install --upgrade nvidia-cuda-nvrtc"
UNIVERSAL_LAST = (12, 1)
FIRST_SPECIFIC = (12, 0)
"""11.8 builds for 9.0, but not for 9.0a, and does not say so."""
MESSAGE_LINES = 8


@dataclass(frozen=True)
class Compiler:
    """An NVRTC library, and what it says of itself."""

    path: Path
    kind: Literal["wheel", "torch", "toolkit", "system"]
    version: tuple[int, int]
    architectures: tuple[str, ...]
    """Compute capabilities that it builds for, lowest first."""

    @property
    def words(self) -> str:
        """The name for messages: "NVRTC 12.9"."""
        return f"NVRTC {self.version[0]}.{self.version[1]}"

    def target_for(self, capability: str, features: tuple[str, ...] = ()) -> str | None:
        """What it would build for a card: its own architecture, or the latest whose code runs on it.

        With features of one architecture alone it is "9.0a" or None.
        """
        target = arch.target_for(capability, features)
        if target != capability:
            is_known = self.version >= FIRST_SPECIFIC and capability in self.architectures
            return target if is_known else None
        runs = [built for built in self.architectures if arch.runs_on(built, capability)]
        return runs[-1] if runs else None


@dataclass(frozen=True)
class Choice:
    """A compiler for a card, and the target to build for: "8.6", "9.0a"."""

    compiler: Compiler
    target: str


@functools.cache
def find_compilers() -> tuple[Compiler, ...]:
    """Every NVRTC that can be loaded here, newest first. Reads the disk and loads the libraries."""
    found = (compiler for compiler in _ask_all().values() if isinstance(compiler, Compiler))
    return tuple(sorted(found, key=lambda compiler: compiler.version, reverse=True))


def find_broken() -> dict[Path, str]:
    """NVRTC libraries that cannot be loaded, with the system's words. Reads the disk and loads the libraries."""
    return {path: words for path, words in _ask_all().items() if isinstance(words, str)}


def forget() -> None:
    """Ask again, as after an installation."""
    _ask_all.cache_clear()
    find_compilers.cache_clear()


def describe_compilers() -> list[dict[str, Any]]:
    """What `find_compilers` found, as plain data: version, kind of place, architectures."""
    return [
        {
            "version": f"{compiler.version[0]}.{compiler.version[1]}",
            "kind": compiler.kind,
            "architectures": list(compiler.architectures),
        }
        for compiler in find_compilers()
    ]


def choose_compiler(
    capability: str,
    features: tuple[str, ...] = (),
    driver_cuda: tuple[int, int] | None = None,
    among: Sequence[Compiler] | None = None,
) -> Choice:
    """The newest compiler that builds for a card and whose code the card's driver loads.

    `driver_cuda` is the CUDA version that the driver reports; None: any. A target of the card's own
    comes before one that merely runs there. Raises UnavailableError that says what is installed and what to install.
    """
    if lacking := [f for f in features if arch.support(f, capability) in ("absent", "emulated")]:
        raise UnavailableError(f"compute capability {capability} has no {', '.join(lacking)}")
    compilers = find_compilers() if among is None else among
    choices = [
        Choice(compiler, target)
        for compiler in sorted(compilers, key=lambda c: c.version, reverse=True)
        if driver_cuda is None or compiler.version[0] <= driver_cuda[0]
        if (target := compiler.target_for(capability, features)) is not None
    ]
    own = [choice for choice in choices if arch.plain(choice.target) == capability]
    if choices:
        return (own or choices)[0]
    raise UnavailableError(
        _say_why(capability, features, driver_cuda, compilers), _advise(capability, driver_cuda)
    )


def compile_source(
    compiler: Compiler, source: str, name: str, target: str, options: Sequence[str] = ()
) -> tuple[bytes, str]:
    """The machine code (cubin) of a CUDA C++ source for a target, "7.0" or "9.0a", and what was said of it. Needs no card.

    `name` is what messages call it. Raises UnavailableError with the compiler's own words.
    """
    nvrtc = _load(compiler.path)
    flags = [f"-arch=sm_{target.replace('.', '')}", "--std=c++17", *options]
    program = ctypes.c_void_p()
    nvrtc.call(
        "CreateProgram", ctypes.byref(program), source.encode(), name.encode(), 0, None, None
    )
    try:
        words = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
        status = nvrtc.library.nvrtcCompileProgram(program, len(flags), words)
        log = nvrtc.read(program, "ProgramLog").decode(errors="replace").rstrip("\0")
        if status:
            what = nvrtc.library.nvrtcGetErrorString(status).decode()
            raise UnavailableError(
                f"{name} does not compile for sm_{target.replace('.', '')} with {compiler.words}"
                f" ({compiler.path}): {_pick_errors(log) or what}",
                f"try another NVRTC: {UNIVERSAL}",
            )
        return nvrtc.read(program, "CUBIN"), log
    finally:
        nvrtc.library.nvrtcDestroyProgram(ctypes.byref(program))


def _pick_errors(log: str) -> str:
    """The lines of a log that say what is wrong, or the first ones."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return "\n".join((errors or lines)[:MESSAGE_LINES])


def _say_why(
    capability: str,
    features: tuple[str, ...],
    driver_cuda: tuple[int, int] | None,
    compilers: Sequence[Compiler],
) -> str:
    if not compilers:
        broken = "; ".join(
            f"{path} is there, but: {words}" for path, words in find_broken().items()
        )
        return "no NVRTC, the CUDA compiler, is installed, so that no CUDA kernel can be built" + (
            f" ({broken})" if broken else ""
        )
    target = arch.target_for(capability, features)
    installed = "; ".join(
        f"{c.words} builds for {c.architectures[0]} to {c.architectures[-1]}" for c in compilers
    )
    driver = "" if driver_cuda is None else f" and a driver of CUDA {driver_cuda[0]}"
    return f"no NVRTC here can build for {target}{driver}: {installed}"


def _advise(capability: str, driver_cuda: tuple[int, int] | None) -> str:
    """The command that installs a compiler for the card."""
    needs_12 = driver_cuda is not None and driver_cuda[0] <= UNIVERSAL_LAST[0]
    is_covered = capability in arch.CAPABILITIES and capability != "11.0"
    return UNIVERSAL if needs_12 or is_covered else NEWEST


@functools.cache
def _ask_all() -> dict[Path, Compiler | str]:
    return {path: _ask(path, kind) for path, kind in find_libraries().items()}


def _ask(path: Path, kind: Any) -> Compiler | str:
    """The compiler that a library is, or why it is none."""
    try:
        nvrtc = _load(path)
        major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        nvrtc.call("Version", ctypes.byref(major), ctypes.byref(minor))
        nvrtc.call("GetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        nvrtc.call("GetSupportedArchs", numbers)
    except (OSError, AttributeError, UnavailableError) as error:
        return " ".join(str(error).split())
    capabilities = tuple(f"{number // 10}.{number % 10}" for number in sorted(numbers))
    return Compiler(path, kind, (major.value, minor.value), capabilities)


class _Nvrtc:
    """A loaded library; each function is `nvrtc` + its name."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, f"nvrtc{name}")(*arguments)
        if status:
            words = self.library.nvrtcGetErrorString(status).decode()
            raise UnavailableError(f"nvrtc{name} failed: {words}", f"reinstall it: {UNIVERSAL}")

    def read(self, program: ctypes.c_void_p, what: str) -> bytes:
        """What a program holds under a name: "CUBIN", "ProgramLog"."""
        size = ctypes.c_size_t()
        self.call(f"Get{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"Get{what}", program, buffer)
        return buffer.raw


@functools.cache
def _load(path: Path) -> _Nvrtc:
    return _Nvrtc(path)
