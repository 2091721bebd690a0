"""Which build of a kernel computes a shape, and into how many parts it cuts K. Heuristics of the host."""

from __future__ import annotations

from collections.abc import Iterable

from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.manifest import Role, Tile

WAVES = 2
"""Blocks of a streaming product that each multiprocessor has at a time, and should have: while one waits for memory,
another computes."""
TALL = 32
"""Rows of blocks that have a multiprocessor's registers to themselves: a second one would wait for the first."""
WIDE = 512
"""Threads of blocks that keep as much of memory on its way as two others do: for tiles that are fewer than
multiprocessors, where two others would be two parts of K."""
DEEP = 48 * 1024
"""Shared memory of blocks that keep as much of memory on its way, for their ring holds it in advance."""
LEAST_K: dict[Role, int] = {"gemv": 1024, "gemm": 512}
"""Weights along K of a part, and of a product at least a stage: with fewer, filling the pipeline costs more than is won."""
MOST_PARTS = 16
"""Each part writes and reads its sums once more."""


def choose_among(
    builds: Iterable[Build], sm_count: int, m: int, n: int, *, takes_parts: bool = False
) -> Build | None:
    """The build for M rows, of those for one card, scheme and type of activations.

    Builds that are meant for so many rows at most stream the weight once for each block of rows: the
    least height that covers M is best. Of equals those come first whose blocks fill more than half of the
    card, so that K is not cut, and then those whose blocks are all there at once. Of more than one row
    wider blocks read x less often; of one, narrow ones are more alike in what they have to do; and blocks
    of more threads come first where each has a multiprocessor to itself. Longer stages have fewer barriers.

    The others are bound by arithmetic: what counts is the waves of blocks and what each computes, a part
    of K where the kernel takes parts. Of equals fewer parts have less to add up, the larger blocks read
    less, and taller ones bring the weights to their rows less often.
    """
    found = list(builds)
    limits = {b.max_rows for b in found if b.max_rows is not None}
    if fitting := [limit for limit in limits if limit >= m]:
        few = [build for build in found if build.max_rows == min(fitting)]
    elif unlimited := [build for build in found if build.max_rows is None]:
        return min(unlimited, key=lambda build: _work(build.tile, sm_count, m, n, takes_parts))
    else:
        few = [build for build in found if build.max_rows == max(limits, default=0)]
    return min(few, key=lambda build: _stream(build, sm_count, m, n), default=None)


def _stream(build: Build, sm_count: int, m: int, n: int) -> tuple[int, ...]:
    tile, blocks = build.tile, _count_blocks(build, m, n)
    return (
        -(-m // tile.m),
        tile.m,
        2 * blocks <= sm_count,
        -(-blocks // (WAVES * sm_count)),
        tile.n if tile.m == 1 else -tile.n,
        -build.threads if blocks <= sm_count else build.threads,
        -tile.k,
    )


def _work(
    tile: Tile, sm_count: int, m: int, n: int, takes_parts: bool
) -> tuple[float, int, int, int]:
    area, tiles = tile.m * tile.n, count_tiles(tile, m, n)
    parts = max(1, sm_count // tiles) if takes_parts else 1
    return -(-tiles // sm_count) * area / parts, parts, -area, -tile.m


def choose_split(build: Build, role: Role, sm_count: int, m: int, n: int, k: int) -> int:
    """The parts of K for an M × N product; 1 where its blocks fill the card.

    Products that stream the weight want several blocks on each multiprocessor; those bound by
    arithmetic, and those of tall, wide or deep blocks, want one on each, because every part costs its sums in memory.
    """
    is_light = build.tile.m < TALL and build.threads < WIDE and build.shared_bytes < DEEP
    wanted = (WAVES if build.max_rows is not None and is_light else 1) * sm_count
    blocks = _count_blocks(build, m, n)
    parts = wanted // blocks if blocks < sm_count else 1
    least = max(LEAST_K.get(role, k + 1), build.tile.k if role == "gemm" else 1)
    return max(1, min(parts, k // least, MOST_PARTS))


def _count_blocks(build: Build, m: int, n: int) -> int:
    """Blocks of each part of K: of those that are a cluster, side by side, all."""
    together = build.tile.n * build.cluster
    return -(-m // build.tile.m) * -(-n // together) * build.cluster


def count_tiles(tile: Tile, m: int, n: int) -> int:
    """Blocks that cover y (M, N)."""
    return -(-m // tile.m) * -(-n // tile.n)
