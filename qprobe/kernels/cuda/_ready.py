"""Launches made ready: which build serves a shape, in how many parts of K, and what it is given."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.cuda import counters, driver
from qprobe.kernels.cuda._allocation import Allocate, make_allocator
from qprobe.kernels.cuda._heuristics import choose_among, choose_split, count_tiles
from qprobe.kernels.cuda._stored import NAMES
from qprobe.kernels.cuda.arguments import INT32_MAX
from qprobe.kernels.cuda.grid import most_along
from qprobe.kernels.cuda.launch import Call
from qprobe.kernels.cuda.portfolio import Source

PREFERRED = (torch.float32, torch.bfloat16, torch.float16)
"""What activations of another type are brought to, the widest range first."""
STORED = ("packed", "scales", "zeros")
"""The packed tensors before the label; not every scheme has the last."""
SHAPES = 4096
"""Launches that are kept ready: as many shapes of x as a server sees."""


class Ready(NamedTuple):
    """A launch made ready for so many rows."""

    call: Call
    dtype: torch.dtype
    """What activations and results are computed in."""
    parts: int
    """Parts of K."""
    sums: int
    """Partial sums of those; 0 where there is one part."""
    tiles: int


class Prepared(NamedTuple):
    """A product made ready for one shape of x."""

    ready: Ready
    """For all rows, or for as many as one launch can have."""
    allocate: Allocate
    """Makes y."""
    shape: tuple[int, ...]
    """Of y."""
    rows: int
    most: int
    """Rows of one launch."""
    padding: int
    """Zeros that the codes of x lack behind each row."""


@functools.lru_cache(maxsize=SHAPES)
def prepare(
    source: Source,
    label: torch.Size,
    stored_k: int,
    wanted: torch.dtype,
    shape: torch.Size,
    home: torch.device,
    device: torch.device,
    thread: int,
) -> Prepared:
    """All that depends on the shapes of x and of the weight, for each thread its own."""
    if home != device:
        raise elsewhere(source, device, home)
    n, k, number, _ = label
    padding = max(stored_k - k, 0)
    rows, most = math.prod(shape[:-1]), most_rows(source, n, k + padding)
    m, index = min(rows, most) or 1, device.index or 0
    ready = make_ready(source, number, wanted, m, n, k + padding, index, thread)
    allocate = make_allocator((*shape[:-1], n), ready.dtype, device)
    return Prepared(ready, allocate, (*shape[:-1], n), rows, most, padding)


@functools.lru_cache(maxsize=SHAPES)
def make_ready(
    source: Source,
    number: int,
    wanted: torch.dtype,
    m: int,
    n: int,
    k: int,
    index: int,
    _thread: int,
) -> Ready:
    """Choose the build and the parts of K, and prepare the call: for each thread its own.

    Where there is no build for the type that is wanted, the nearest takes its place.
    """
    card, scheme, role = driver.find_card(index), NAMES[number], source.manifest.role
    taken = source.manifest.arguments
    for dtype in (wanted, *PREFERRED):
        builds = source.find_builds(scheme, dtype, card.capability)
        build = choose_among(builds, card.sm_count, m, n, takes_parts="split" in taken)
        if build is not None:
            break
    else:
        raise TypeError(f"{source.name} has no build for {scheme} on {card.name}")
    split = 1
    if role == "dequantize":
        split = -(-k // build.tile.k)
    elif "split" in taken:
        split = choose_split(build, role, card.sm_count, m, n, k)
    group = SCHEMES[scheme].block
    counts = {"m": m, "n": n, "k": k, "group": group, "split": split}
    is_coded = source.manifest.input != "float"
    names = (*STORED, "y") if role == "dequantize" else _name_tensors(is_coded, split)
    call = Call(source, build.name, index, {c: v for c, v in counts.items() if c in taken}, names)
    tiles = count_tiles(build.tile, m, n)
    sums = split * tiles * build.tile.m * build.tile.n if split > 1 else 0
    return Ready(call, dtype, split, sums, tiles)


def _name_tensors(is_coded: bool, parts: int) -> tuple[str, ...]:
    """What a kernel is given the addresses of, in the order of `_products._bind`; zeros and bias may be null."""
    return (
        "x",
        *STORED,
        "y",
        "bias",
        *(("x_scale",) if is_coded else ()),
        *(("scratch", "counters") if parts > 1 else ()),
    )


def forget() -> None:
    """Drop what was made ready, but for what is bound: the cards are others now."""
    prepare.cache_clear()
    make_ready.cache_clear()
    counters.forget()


@functools.cache
def most_rows(source: Source, n: int, k: int) -> int:
    """Rows of x that one launch can index with 32 bits and cover with blocks of whichever build."""
    axes = source.manifest.grid
    covered = min(most_along(build.tile, axes, "m") for build in source.builds.values())
    return max(1, min(INT32_MAX // max(n, k), covered))


def elsewhere(source: Source, device: torch.device, home: torch.device) -> ValueError:
    """What is said of a layer that is on another device than x."""
    return ValueError(
        f"x is on {device}, the weight of the layer on {home}: cuda.{source.name} needs both on one"
    )
