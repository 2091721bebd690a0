"""Prints what the machine code of kernels is, a line for each build and architecture, and what is wrong with it.

    python -m tests.machine_code [KERNEL …] [--target 8.0] [--loops] [--all]

Counts are of instructions in the code, not of those that run: `--loops` says what each loop holds. `--all` adds the
architectures that a kernel does not list, but whose cards are given it: `make machinecode`, every build, in minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence

from qprobe.kernels.cuda.manifest import find_kernels
from tests.machine_code.disassembly import Instruction, find_loops
from tests.machine_code.gate import Compiled, compile_pairs, count_opcode, judge
from tests.machine_code.pairs import Pair, all_pairs, list_pairs, uncovered

COLUMNS = {
    "product": ("HMMA", "IMMA", "QMMA", "IGMMA", "HGMMA", "QGMMA", "IDP"),
    "ldmatrix": ("LDSM",),
    "cp.async": ("LDGSTS", "UBLKCP", "UTMALDG"),
    "load 16": ("LDG.128",),
    "load": ("LDG",),
    "store": ("STG",),
    "shared": ("LDS", "STS"),
    "barrier": ("BAR",),
}


def print_kernels(
    names: list[str], target: str | None, *, loops: bool, everywhere: bool = False
) -> int:
    """Print a table of each kernel; 1 where something is wrong."""
    kernels = find_kernels()
    if unknown := [name for name in names if name not in kernels]:
        print(f"no kernel {', '.join(unknown)}: there are {', '.join(kernels)}", file=sys.stderr)
        return 2
    chosen = names or list(kernels)
    find_pairs = all_pairs if everywhere else list_pairs
    pairs = [pair for name in chosen for pair in find_pairs(kernels[name])]
    pairs = [pair for pair in pairs if target in (None, pair.target)]
    made = compile_pairs(pairs)
    width = max((len(str(pair)) for pair in pairs), default=0)
    print(" " * width, "registers shared", *COLUMNS, "all")
    for pair in pairs:
        print(f"{pair!s:{width}}", _describe(pair, made[str(pair)], loops=loops))
    wrong = [(pair, words) for pair in pairs for words in judge(pair, made[str(pair)])]
    for pair, words in wrong:
        print(f"{pair}: {words}")
    left_out = sum(len(uncovered(kernels[name], pairs)) for name in chosen)
    print(
        f"{len(pairs)} builds were judged; {len(wrong)} complaints; {left_out} builds were not judged"
    )
    return 1 if wrong else 0


def _describe(pair: Pair, made: Compiled, *, loops: bool) -> str:
    if made.code is None:
        return "does not compile"
    shared = made.code.shared_bytes + pair.build.shared_bytes
    lines = [f"{made.code.registers:9} {shared:6} {_count(made.instructions)}"]
    for loop in find_loops(made.instructions) if loops else []:
        lines.append(f"  loop {loop[0].address:5x} – {loop[-1].address:5x}  {_count(loop)}")
    return "\n".join(lines)


def _count(instructions: Sequence[Instruction]) -> str:
    """A cell for each column, the number of all, and what there is most of."""
    cells = (
        f"{sum(count_opcode(instructions, opcode) for opcode in opcodes):{len(heading)}}"
        for heading, opcodes in COLUMNS.items()
    )
    most = Counter(instruction.opcode for instruction in instructions).most_common(4)
    words = ", ".join(f"{opcode} {count}" for opcode, count in most)
    return f"{' '.join(cells)} {len(instructions):5}  {words}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kernels", nargs="*")
    parser.add_argument("--target")
    parser.add_argument("--loops", action="store_true")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    sys.exit(
        print_kernels(options.kernels, options.target, loops=options.loops, everywhere=options.all)
    )
