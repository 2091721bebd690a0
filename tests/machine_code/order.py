"""What a kernel that overlaps the one before it does before it waits for that, by its machine code."""

from __future__ import annotations

from collections.abc import Sequence

from tests.machine_code.disassembly import Instruction

WAIT = "ACQBULK"
MEMORY = ("ATOM", "ATOMG", "LD", "LDG", "RED", "REDG", "ST", "STG")
"""Of the card's memory. What the copy engine brings, or LDGSTS, is asked for in the order of the source."""
OF_BOTH = "MULTICAST"
"""Copies to two blocks: of x."""


def find_early(instructions: Sequence[Instruction]) -> list[Instruction]:
    """Reads and writes of memory that some way from the entry comes to without a wait."""
    places = {one.address: i for i, one in enumerate(instructions)}
    seen: set[int] = set()
    open_ways, early = [0], []
    while open_ways:
        at = open_ways.pop()
        while at < len(instructions) and at not in seen:
            seen.add(at)
            one = instructions[at]
            if one.opcode == WAIT and one.is_always:
                break
            if one.opcode.split(".")[0] in MEMORY or OF_BOTH in one.opcode:
                early.append(one)
            if one.target in places:
                open_ways.append(places[one.target])
            if one.ends_way:
                break
            at += 1
    return early
