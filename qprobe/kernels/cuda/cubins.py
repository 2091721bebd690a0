"""Machine code of CUDA kernels, kept on disk: compiled once for each source, options, target and compiler."""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path

from qprobe.kernels._sealed import read_sealed, write_sealed
from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.nvrtc import Choice, Compiler, compile_source
from qprobe.timing.cache import cache_folder

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def load_cubin(source: Path, build: Build, choice: Choice, cache: Path | None = None) -> bytes:
    """The machine code of one build of a kernel, from the cache or compiled. Reads and writes the disk.

    `cache` is the folder to keep it in; None: the user's. What is there but not whole is compiled again; a
    folder that cannot be written is done without. Raises UnavailableError where it does not compile.
    """
    path = _find_place(source, build, choice, cache)
    kept = read_sealed(path)
    if kept is not None:
        return kept
    code, _ = compile_build(source, build, choice)
    with contextlib.suppress(OSError):
        write_sealed(path, code)
    return code


def compile_build(source: Path, build: Build, choice: Choice) -> tuple[bytes, str]:
    """The machine code of one build of a kernel, and what the compiler and the assembler say of it."""
    text, name = source.read_text(encoding="utf-8"), name_build(source, build)
    options = (f"-I{source.parent}", *build.macros())
    return compile_source(choice.compiler, text, name, choice.target, options)


def forget_cubin(source: Path, build: Build, choice: Choice, cache: Path | None = None) -> None:
    """Delete what is kept of a build, which did not load: the next time it is compiled. Writes the disk."""
    with contextlib.suppress(OSError):
        _find_place(source, build, choice, cache).unlink(missing_ok=True)


def name_build(source: Path, build: Build) -> str:
    """What messages call it: "gemm_w4a16.cu (g128_m8, float16)"."""
    return f"{source.name} ({build.name})" if build.name else source.name


def _find_place(source: Path, build: Build, choice: Choice, cache: Path | None) -> Path:
    folder = cache_folder("cubins") if cache is None else cache
    return folder / f"{source.stem}-{choice.target}-{_key(source, build, choice)}.cubin"


def _key(source: Path, build: Build, choice: Choice) -> str:
    """SHA-256, 16 hex digits, of all that decides what the machine code is."""
    digest = hashlib.sha256()
    for path in included(source):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    for word in (*build.macros(), choice.target, *_identity(choice.compiler)):
        digest.update(f"{word}\0".encode())
    return digest.hexdigest()[:16]


def included(source: Path) -> list[Path]:
    """The source and all that it includes from its folder, directly or not."""
    found = [source]
    for path in found:
        for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            header = source.parent / name
            if header not in found and header.is_file():
                found.append(header)
    return found


def _identity(compiler: Compiler) -> tuple[str, str]:
    """The version, and the size of the library: updates within a version do not say their number."""
    return compiler.words, str(compiler.path.stat().st_size)
