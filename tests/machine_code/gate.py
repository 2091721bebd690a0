"""Judges machine code by what its kernel says of itself: see pairs.py for which of it."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import overlap
from qprobe.kernels.cuda.arguments import ARGUMENTS
from qprobe.kernels.cuda.cubins import compile_build, load_cubin
from qprobe.kernels.cuda.nvrtc import Choice, Compiler, find_compilers
from tests.machine_code.disassembly import ROOT, Instruction, ToolMissingError, list_instructions
from tests.machine_code.elf import Code, read_cubin
from tests.machine_code.order import find_early
from tests.machine_code.pairs import Pair, asked_of

CACHE = ROOT / "build" / "machine_code"
COMPILERS = {12: (12, 9), 13: (13, 0)}
"""Major version → the least version that builds for all that it is needed for."""
STATIC_SHARED_BYTES = 48 * 1024
SIZES = {"pointer": 8, "int32": 4, "tensor_map": 128}
SPILLS = ("STL", "LDL")
NORMAL_FLOAT = 1
"""QP_WEIGHTS where weights are looked up in a table."""
OVERLAPS = ("ACQBULK", "PREEXIT")
"""What a kernel says that may begin before the one before it has ended: that it waits, and that the next may begin."""
LOGGED = "wgmma"
"""The feature of kernels whose log is read: what it tells of them is not seen in what they are made of."""
SLOW = re.compile(r"serialized|wait(_group)? is injected")
"""In the assembler's remarks that products of warpgroups wait for one another: C7510 to C7514, and C7517."""


@dataclass(frozen=True)
class Compiled:
    """What became of a pair: its code and instructions, or the compiler's words of failure."""

    code: Code | None
    instructions: tuple[Instruction, ...]
    words: str
    log: str = ""
    """What else the compiler said, of kernels whose log is read."""

    def count(self, opcode: str) -> int:
        """Instructions whose opcode begins so."""
        return count_opcode(self.instructions, opcode)


def count_opcode(instructions: Sequence[Instruction], wanted: str) -> int:
    """How many have that name, and parts that begin so, whatever others stand between.

    "LDG.128" is in LDG.E.128.CONSTANT, "HMMA.16" in HMMA.16816.F32.
    """
    name, *parts = wanted.split(".")
    split = (instruction.opcode.split(".") for instruction in instructions)
    return sum(
        own[0] == name and all(any(one.startswith(part) for one in own) for part in parts)
        for own in split
    )


def find_compiler(cuda: int) -> Compiler:
    """The compiler of a line; raises ToolMissingError where it is not installed."""
    least = COMPILERS[cuda]
    for compiler in find_compilers():
        if compiler.version[0] == cuda and compiler.version >= least:
            return compiler
    have = ", ".join(compiler.words for compiler in find_compilers()) or "none"
    raise ToolMissingError(f"NVRTC {least[0]}.{least[1]} or later is needed, there is {have}")


def compile_pairs(pairs: Sequence[Pair], cache: Path = CACHE) -> dict[str, Compiled]:
    """The outcome of each pair, by its name. Compiles what is not kept, as many at once as there are cores."""
    for cuda in {pair.cuda for pair in pairs}:
        find_compiler(cuda)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = list(pool.map(lambda pair: _compile(pair, cache), pairs))
        made = {str(pair): code for pair, (code, _) in zip(pairs, compiled, strict=True)}
        groups: dict[str, list[str]] = defaultdict(list)
        for pair in pairs:
            if isinstance(made[str(pair)], Code):
                groups[pair.target].append(str(pair))
        texts = ([made[name].instructions for name in group] for group in groups.values())
        read = dict(zip(groups, pool.map(list_instructions, groups, texts), strict=True))
    listed = {
        name: own
        for target, group in groups.items()
        for name, own in zip(group, read[target], strict=True)
    }
    return {
        str(pair): Compiled(code, listed[str(pair)], "", log)
        if isinstance(code, Code)
        else Compiled(None, (), code)
        for pair, (code, log) in zip(pairs, compiled, strict=True)
    }


def judge(pair: Pair, made: Compiled) -> list[str]:
    """All that is wrong with the machine code of a pair, in words."""
    if made.code is None:
        return [made.words]
    return [
        *_judge_instructions(pair, made),
        *_judge_resources(pair, made.code),
        *(
            f"the compiler says: {line.strip()}"
            for line in made.log.splitlines()
            if SLOW.search(line)
        ),
    ]


def _compile(pair: Pair, cache: Path) -> tuple[Code | str, str]:
    """The code, or the compiler's words of failure; and what else it said of a kernel whose log is read, which is not kept."""
    try:
        choice = Choice(find_compiler(pair.cuda), pair.target)
        if LOGGED not in pair.manifest.requires:
            return read_cubin(load_cubin(pair.path, pair.build, choice, cache)), ""
        cubin, log = compile_build(pair.path, pair.build, choice)
        return read_cubin(cubin), log
    except (UnavailableError, ValueError) as error:
        return str(error), ""


def _judge_instructions(pair: Pair, made: Compiled) -> Iterable[str]:
    asked = asked_of(pair)
    for opcode in asked.needs:
        if (count := made.count(opcode)) < asked.at_least:
            yield f"{opcode} is there {count} times, not {asked.at_least}"
    for opcode in asked.forbids:
        if count := made.count(opcode):
            yield f"{opcode} is there {count} times, and is forbidden"
    waits = pair.manifest.overlaps and overlap.can_overlap(arch.plain(pair.target))
    for opcode in OVERLAPS:
        if bool(count := made.count(opcode)) != waits:
            yield f"{opcode} is there {count} times, and the manifest says overlaps = {str(waits).lower()}"
    early = find_early(made.instructions) if waits else []
    tables = [one for one in early if "CONSTANT" in one.opcode]
    if pair.build.defines.get("QP_WEIGHTS") == NORMAL_FLOAT and len(tables) == 1:
        early.remove(tables[0])  # Its values, which are part of the code.
    for one in early:
        yield f"{one.opcode} at {one.address:#x} comes before the kernel before is waited for"
    for opcode in SPILLS:
        if count := made.count(opcode):
            yield f"it spills: {opcode} is there {count} times"


def _judge_resources(pair: Pair, code: Code) -> Iterable[str]:
    manifest, build = pair.manifest, pair.build
    limit = asked_of(pair).max_registers
    if code.registers > limit:
        yield f"it takes {code.registers} registers, more than {limit}"
    if code.registers * build.threads > arch.REGISTERS_PER_BLOCK:
        yield f"{build.threads} threads of {code.registers} registers do not fit on an SM"
    if code.frame_bytes:
        yield f"it keeps {code.frame_bytes} bytes in local memory"
    most = arch.SHARED_BYTES[arch.plain(pair.target)]
    if code.shared_bytes > STATIC_SHARED_BYTES:
        yield f"it declares {code.shared_bytes} bytes of shared memory, more than {STATIC_SHARED_BYTES}"
    if (shared := code.shared_bytes + build.shared_bytes) > most:
        yield f"it takes {shared} bytes of shared memory, more than {most}"
    else:
        yield from _judge_room(pair, code)
    if code.entry != manifest.entry:
        yield f"the function is {code.entry}, not {manifest.entry}"
    if code.max_threads != build.threads:
        yield f"__launch_bounds__ is {code.max_threads}, the manifest says {build.threads} threads"
    takes = tuple(SIZES[ARGUMENTS[name].kind] for name in manifest.arguments)
    if code.parameters != takes:
        yield f"the function takes {list(code.parameters)} bytes, the manifest says {list(takes)}"


def _judge_room(pair: Pair, code: Code) -> Iterable[str]:
    """Whether what a kernel declares takes the place of a block that the manifest counts on."""
    capability = arch.plain(pair.target)
    reserved = arch.RESERVED_SHARED_BYTES if int(capability.partition(".")[0]) >= 8 else 0
    own = pair.build.shared_bytes

    def count_blocks(shared: int) -> int:
        room = arch.SHARED_BYTES_PER_SM[capability] // max(1, shared + reserved)
        return min(pair.build.blocks, room)

    if own and (room := count_blocks(own + code.shared_bytes)) < count_blocks(own):
        yield (
            f"{code.shared_bytes} bytes of declared shared memory leave room for {room} of "
            f"{count_blocks(own)} blocks on an SM"
        )
