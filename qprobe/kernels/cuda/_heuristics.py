"""Which build of a kernel computes a shape, and into how many parts it cuts K. Heuristics of the host."""

from __future__ import annotations

from collections.abc import Iterable

from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.manifest import Role, Tile

WAVES = 2
"""Blocks that each multiprocessor should have: while one waits for memory, another computes."""
LEAST_K: dict[Role, int] = {"gemv": 1024, "gemm": 512}
"""Weights along K of a part: with fewer, filling the pipeline costs more than is won."""
MOST_PARTS = 16
"""Each part writes and reads its sums once more."""


def choose_among(builds: Iterable[Build], sm_count: int, m: int, n: int) -> Build | None:
    """The build for M rows: of those meant for the fewest rows that suffice, the one done first.

    How long one takes is told by the waves of blocks and by what a block computes; of equals, the one
    with the larger blocks reads less.
    """
    possible = list(builds)
    fitting = [b for b in possible if b.max_rows is not None and b.max_rows >= m]
    if fitting:
        fewest = min(b.max_rows or 0 for b in fitting)
        possible = [b for b in fitting if b.max_rows == fewest]
    elif unlimited := [b for b in possible if b.max_rows is None]:
        possible = unlimited
    elif possible:
        largest = max(b.max_rows or 0 for b in possible)
        possible = [b for b in possible if b.max_rows == largest]

    def cost(build: Build) -> tuple[int, int]:
        area = build.tile.m * build.tile.n
        return -(-count_tiles(build.tile, m, n) // sm_count) * area, -area

    return min(possible, key=cost, default=None)


def choose_split(tile: Tile, role: Role, sm_count: int, m: int, n: int, k: int) -> int:
    """The parts of K for an M × N product of blocks `tile`; 1 where its blocks fill the card."""
    blocks = count_tiles(tile, m, n)
    wanted = -(-WAVES * sm_count // blocks) if blocks < sm_count else 1
    return max(1, min(wanted, k // LEAST_K.get(role, k + 1), MOST_PARTS))


def count_tiles(tile: Tile, m: int, n: int) -> int:
    """Blocks that cover y (M, N)."""
    return -(-m // tile.m) * -(-n // tile.n)
