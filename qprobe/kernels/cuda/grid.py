"""How many blocks a launch has: what the manifest's tile makes of the size of the problem."""

from __future__ import annotations

from collections.abc import Sequence

from qprobe.errors import InputError
from qprobe.kernels.cuda.arguments import INT32_MAX
from qprobe.kernels.cuda.manifest import Axis, Tile

LIMITS = (INT32_MAX, 65535, 65535)
"""The most blocks along x, y and z."""


def count_blocks(
    tile: Tile,
    axes: Sequence[Axis],
    m: int = 1,
    n: int = 1,
    split: int = 1,
    at_once: int = 1,
    cluster: int = 1,
) -> tuple[int, int, int]:
    """Blocks along x, y and z for M rows, N output features and K in `split` parts.

    `at_once` is how many the card holds: those that take one tile after another are no more than that.
    Of a `cluster` there are always as many as it has: one below the other where they take tiles, else side
    by side. Raises InputError where there would be none, or more than a launch can have.
    """
    tiles_m, tiles_n = -(-m // tile.m), -(-n // tile.n)
    clusters = min(-(-tiles_m // cluster) * tiles_n * split, max(1, at_once // cluster))
    side_by_side = -(-tiles_n // cluster) * cluster
    counts = {"m": tiles_m, "n": side_by_side, "split": split, "tile": clusters * cluster}
    blocks = [counts[axis] for axis in axes] + [1] * (3 - len(axes))
    for axis, count, limit in zip((*axes, "", ""), blocks, LIMITS, strict=False):
        if not 1 <= count <= limit:
            raise InputError(
                f"{count} blocks along {axis} for M = {m}, N = {n}; a launch has 1 to {limit}"
            )
    return blocks[0], blocks[1], blocks[2]


def most_along(tile: Tile, axes: Sequence[Axis], axis: Axis) -> int:
    """The largest M or N that the blocks of one launch cover, along axis "m" or "n"."""
    if "tile" in axes:
        return INT32_MAX
    size = {"m": tile.m, "n": tile.n}.get(axis, 1)
    return LIMITS[axes.index(axis)] * size if axis in axes else size
