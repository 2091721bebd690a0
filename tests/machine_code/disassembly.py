"""Instructions of machine code, by NVIDIA's disassembler: one run for all kernels of an architecture."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from qprobe.documents import arch

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / "build" / "tools" / "nvdisasm-12.8"
FIRST_OF_13 = "7.5"
BUNDLE = 32
"""Bytes of three instructions and their common control word (Pascal), or of two instructions (later)."""

# Address, the brace of a pair (Pascal), a predicate, and the opcode.
LINE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")


class ToolMissingError(Exception):
    """A tool that the gate cannot do without is not there; skipping would look like passing."""


@functools.cache
def find_nvdisasm(capability: str) -> Path:
    """The disassembler for an architecture: that of CUDA 13 has dropped what is before 7.5."""
    if _order(capability) < _order(FIRST_OF_13):
        if not FETCHED.is_file():
            command = "python -m tests.machine_code.fetch_nvdisasm"
            raise ToolMissingError(f"{FETCHED} is missing: run `{command}`, or `make test`")
        return FETCHED
    try:
        files = importlib.metadata.files("nvidia-cuda-nvdisasm") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nvdisasm":
            return Path(str(file.locate()))
    raise ToolMissingError("nvidia-cuda-nvdisasm is not installed: pip install -e .[dev]")


def list_opcodes(target: str, kernels: Sequence[bytes]) -> list[tuple[str, ...]]:
    """The opcodes of each of the kernels' instructions, in order. Starts a process."""
    if not kernels:
        return []
    starts, end = [], 0
    for kernel in kernels:
        if len(kernel) % BUNDLE:
            raise ValueError(f"{len(kernel)} bytes are no whole instructions")
        starts.append(end)
        end += len(kernel)
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(b"".join(kernels))
        file.flush()
        lines = _disassemble(target, Path(file.name))
    found: list[list[str]] = [[] for _ in kernels]
    index = 0
    for address, opcode in lines:
        while index + 1 < len(starts) and address >= starts[index + 1]:
            index += 1
        found[index].append(opcode)
    return [tuple(opcodes) for opcodes in found]


def _disassemble(target: str, path: Path) -> list[tuple[int, str]]:
    tool = find_nvdisasm(arch.plain(target))
    command = [tool, "-ndf", "-b", f"SM{target.replace('.', '')}", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{tool} cannot read code for {target}: {done.stderr.strip()}")
    return [(int(address, 16), opcode) for address, opcode in LINE.findall(done.stdout)]


def _order(capability: str) -> tuple[int, ...]:
    return tuple(map(int, capability.split(".")))
