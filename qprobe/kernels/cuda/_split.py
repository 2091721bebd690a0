"""Into how many parts K is cut, so that every multiprocessor has something to do."""

from __future__ import annotations

from qprobe.kernels.cuda.grid import LIMITS
from qprobe.kernels.cuda.manifest import Tile

WAVES = 2
"""Blocks that each multiprocessor should have: while one waits for memory, another computes."""
LEAST_TILES = 4
"""Tiles along K of a part: with fewer, filling the pipeline costs more than is won."""
MOST = 16
"""Parts. Each writes and reads its partial sums once more."""


def choose_split(tile: Tile, sm_count: int, m: int, n: int, k: int) -> int:
    """The parts of K for an M × N product of blocks `tile`; 1 where its blocks fill the card."""
    blocks = -(-m // tile.m) * -(-n // tile.n)
    wanted = -(-WAVES * sm_count // blocks) if blocks < sm_count else 1
    tiles = -(-k // tile.k)
    return max(1, min(wanted, tiles // LEAST_TILES, MOST, LIMITS[2]))
