"""Instructions of machine code, by NVIDIA's disassembler: one run for all kernels of an architecture."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qprobe.documents import arch

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / "build" / "tools" / "nvdisasm-12.8"
FIRST_OF_13 = "7.5"
BUNDLE = 32
"""Bytes of three instructions and their common control word (Pascal), or of two instructions (later)."""

# Address, the brace of a pair (Pascal), a predicate, the opcode, and its operands.
LINE = re.compile(r"/\*([0-9a-f]{4,})\*/\s+(?:\{\s*)?(@!?U?P\w+\s+)?([A-Z][\w.]*)([^;}\n]*)")
GOES_TO = re.compile(r"\b0x([0-9a-f]+)\s*$")
CONDITION = re.compile(r"\b!?U?P\d")
JUMPS, ENDS = ("BRA", "CALL", "WARPSYNC"), ("BRA", "BRX", "EXIT", "RET")


@dataclass(frozen=True)
class Instruction:
    """An instruction: where it is in its kernel, what it is, and where it jumps to, if it does."""

    address: int
    opcode: str
    target: int | None
    is_always: bool = True
    """Whether no condition stands before it."""
    ends_way: bool = False
    """Whether what is behind it is never next."""


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


def list_instructions(target: str, kernels: Sequence[bytes]) -> list[tuple[Instruction, ...]]:
    """The instructions of each of the kernels, in order. Starts a process."""
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
        text = _disassemble(target, Path(file.name))
    found: list[list[Instruction]] = [[] for _ in kernels]
    index = 0
    for address, predicate, opcode, operands in LINE.findall(text):
        at = int(address, 16)
        while index + 1 < len(starts) and at >= starts[index + 1]:
            index += 1
        start = starts[index]
        name, last = opcode.split(".")[0], GOES_TO.search(operands)
        target_at = int(last[1], 16) - start if last and name in JUMPS else None
        is_always = not predicate
        ends = is_always and name in ENDS and not (name == "BRA" and CONDITION.search(operands))
        found[index].append(Instruction(at - start, opcode, target_at, is_always, ends))
    return [tuple(instructions) for instructions in found]


def find_loops(instructions: Sequence[Instruction]) -> list[tuple[Instruction, ...]]:
    """What lies between each backward branch and where it goes, the outer loops with what is in them."""
    return [
        tuple(one for one in instructions if branch.target <= one.address <= branch.address)
        for branch in instructions
        if branch.target is not None
        and branch.target < branch.address
        and branch.opcode.startswith("BRA")
    ]


def _disassemble(target: str, path: Path) -> str:
    tool = find_nvdisasm(arch.plain(target))
    command = [tool, "-ndf", "-b", f"SM{target.replace('.', '')}", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{tool} cannot read code for {target}: {done.stderr.strip()}")
    return done.stdout


def _order(capability: str) -> tuple[int, ...]:
    return tuple(map(int, capability.split(".")))
