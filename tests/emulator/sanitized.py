"""Runs Python in a process where kernels are built with the address sanitizer, which must be there from the start."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qprobe.kernels.cuda.builds import Build, builds
from qprobe.kernels.cuda.manifest import read_manifest
from tests.emulator.build import AT_ONCE, EMULATOR, compile_all, find_compiler
from tests.emulator.launch import default_capability

TIMEOUT_S = 300
OPTIONS = "detect_leaks=0:halt_on_error=1:exitcode=99:detect_stack_use_after_return=0"


@functools.cache
def find_sanitizer() -> Path | None:
    """The library of the address sanitizer; None where the compiler came without it."""
    command = [find_compiler(), "-print-file-name=libasan.so"]
    named = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return Path(named) if os.path.isabs(named) and Path(named).exists() else None


def run_sanitized(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS …` under the sanitizer."""
    root = EMULATOR.parent.parent
    environment = os.environ | {
        "LD_PRELOAD": str(find_sanitizer()),
        "ASAN_OPTIONS": OPTIONS,
        "QP_EMULATOR_SANITIZED": "1",
        "PYTHONPATH": str(root),
        # Python's own allocator would hide where its blocks end.
        "PYTHONMALLOC": "malloc",
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def run_each_sanitized(
    commands: Sequence[Sequence[str]],
) -> list[subprocess.CompletedProcess[str]]:
    """`run_sanitized` of each, two at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda command: run_sanitized(*command), commands))


def main(sources: list[str]) -> None:
    """Try every build of the sources, and say of each what is wrong; what the sanitizer finds ends the process."""
    from tests.emulator.trials import find_fault

    wanted = [(Path(source), build) for source in sources for build in builds_of(Path(source))]
    compile_all([(path, build, default_capability(build)) for path, build in wanted])
    for path, build in wanted:
        print(path.stem, build.name, end=": ", flush=True)
        print(find_fault(path, build, ("random",)) or "nothing is wrong", flush=True)


def builds_of(path: Path) -> list[Build]:
    """A build of each variant: types differ in conversions alone."""
    return list({build.variant: build for build in builds(read_manifest(path))}.values())


if __name__ == "__main__":
    main(sys.argv[1:])
