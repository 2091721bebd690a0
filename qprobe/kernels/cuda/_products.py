"""How the kernels of each role are run: tensors in, y out, whatever the shape of x."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import Run
from qprobe.kernels.cuda import counters, driver
from qprobe.kernels.cuda._heuristics import choose_among, choose_split, count_tiles
from qprobe.kernels.cuda._stored import NAMES
from qprobe.kernels.cuda.arguments import INT32_MAX
from qprobe.kernels.cuda.grid import most_along
from qprobe.kernels.cuda.launch import Call, align
from qprobe.kernels.cuda.manifest import Role
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
    """Partial sums, where there are several parts."""
    tiles: int


class Prepared(NamedTuple):
    """A product made ready for one shape of x."""

    ready: Ready
    """For all rows, or for as many as one launch can have."""
    shape: tuple[int, ...]
    """Of y."""
    rows: int
    most: int
    """Rows of one launch."""
    padding: int
    """Zeros that the codes of x lack behind each row."""


def run_product(source: Source) -> Run:
    """`run` of a kernel that multiplies weights as they are stored, with x as it is or its codes."""
    is_coded = source.manifest.input != "float"

    def run(
        x: Tensor,
        x_scale: Tensor | None,
        packed: Sequence[Tensor],
        bias: Tensor | None,
        out_dtype: torch.dtype,
    ) -> Tensor:
        words, device = packed[0], x.device
        wanted, stored_k = (out_dtype, words.shape[-1]) if is_coded else (x.dtype, 0)
        made = _prepare(
            source, packed[-1].shape, stored_k, wanted, x.shape, words.device, device,
            len(packed), bias is not None, get_ident(),
        )  # fmt: skip
        dtype = made.ready.dtype
        if is_coded:
            if x_scale is None:
                raise TypeError(f"{source.name} multiplies quantized activations")
            x_scale = x_scale.contiguous()
            if made.padding:  # Codes are padded as the weight's are.
                x = functional.pad(x, (0, made.padding))
        elif x.dtype != dtype:
            x = x.to(dtype)
        x = align(x)
        if bias is not None and bias.dtype != dtype:
            bias = bias.to(dtype)
        # Both of whole numbers, not of a tuple: a quarter less of the host's time.
        y = (
            torch.empty(*made.shape, dtype=dtype, device=device)
            if is_coded
            else x.new_empty(*made.shape)
        )
        if 0 < made.rows <= made.most:
            _start(made.ready, x, x_scale, packed, bias, y)
        elif made.rows:
            k, n = x.shape[-1], made.shape[-1]
            rows, to = x.reshape(-1, k), y.reshape(-1, n)
            scale = None if x_scale is None else x_scale.reshape(-1)
            number = packed[-1].shape[2]
            for start in range(0, made.rows, made.most):
                part = slice(start, min(made.rows, start + made.most))
                size, index = part.stop - start, device.index or 0
                given = len(packed), bias is not None
                ready = _ready(source, number, wanted, size, n, k, index, *given, get_ident())
                own = None if scale is None else scale[part]
                _start(ready, align(rows[part]), own, packed, bias, to[part])
        return y if dtype == out_dtype else y.to(out_dtype)

    return run


def _start(
    ready: Ready,
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    y: Tensor,
) -> None:
    given = [x, *packed[:-1], y]
    if bias is not None:
        given.append(align(bias))
    if x_scale is not None:
        given.append(x_scale)
    if ready.parts > 1:
        # Of this call alone: two streams may run one layer at a time.
        given.append(torch.empty(ready.sums, dtype=torch.float32, device=x.device))
        given.append(counters.lend(ready.tiles, x.device))
    ready.call.run(*given)


def _name_tensors(is_coded: bool, stored: int, has_bias: bool, parts: int) -> tuple[str, ...]:
    """What `_start` gives a kernel, in its order."""
    return (
        "x",
        *STORED[: stored - 1],
        "y",
        *(("bias",) if has_bias else ()),
        *(("x_scale",) if is_coded else ()),
        *(("scratch", "counters") if parts > 1 else ()),
    )


def run_dequantized(source: Source) -> Run:
    """`run` by way of the whole weight in the type of x, which torch's own product then multiplies."""

    def run(
        x: Tensor,
        _x_scale: Tensor | None,
        packed: Sequence[Tensor],
        bias: Tensor | None,
        out_dtype: torch.dtype,
    ) -> Tensor:
        words, label = packed[0], packed[-1]
        n, k, number, _ = label.shape
        if words.device != x.device:
            raise _elsewhere(source, x.device, words.device)
        ready = _ready(
            source, number, x.dtype, 1, n, k, x.device.index or 0, len(packed), False, get_ident()
        )
        weight = torch.empty(n, k, dtype=ready.dtype, device=x.device)
        if x.numel():
            ready.call.run(*packed[:-1], weight)
        bias = None if bias is None else bias.to(ready.dtype)
        return functional.linear(x.to(ready.dtype), weight, bias).to(out_dtype)

    return run


@functools.lru_cache(maxsize=SHAPES)
def _prepare(
    source: Source,
    label: torch.Size,
    stored_k: int,
    wanted: torch.dtype,
    shape: torch.Size,
    home: torch.device,
    device: torch.device,
    stored: int,
    has_bias: bool,
    thread: int,
) -> Prepared:
    """All that depends on the shapes of x and of the weight, for each thread its own."""
    if home != device:
        raise _elsewhere(source, device, home)
    n, k, number, _ = label
    padding = max(stored_k - k, 0)
    rows, most = math.prod(shape[:-1]), most_rows(source, n, k + padding)
    m, index = min(rows, most) or 1, device.index or 0
    ready = _ready(source, number, wanted, m, n, k + padding, index, stored, has_bias, thread)
    return Prepared(ready, (*shape[:-1], n), rows, most, padding)


@functools.lru_cache(maxsize=SHAPES)
def _ready(
    source: Source,
    number: int,
    wanted: torch.dtype,
    m: int,
    n: int,
    k: int,
    index: int,
    stored: int,
    has_bias: bool,
    _thread: int,
) -> Ready:
    """Choose the build and the parts of K, and prepare the call: for each thread its own.

    `stored` counts the packed tensors, the label among them. Where there is no build for the type that is wanted, the nearest takes its place.
    """
    card, scheme, role = driver.find_card(index), NAMES[number], source.manifest.role
    for dtype in (wanted, *PREFERRED):
        builds = source.find_builds(scheme, dtype, card.capability)
        build = choose_among(builds, card.sm_count, m, n)
        if build is not None:
            break
    else:
        raise TypeError(f"{source.name} has no build for {scheme} on {card.name}")
    taken = source.manifest.arguments
    split = 1
    if role == "dequantize":
        split = -(-k // build.tile.k)
    elif "split" in taken:
        split = choose_split(build, role, card.sm_count, m, n, k)
    group = SCHEMES[scheme].block
    counts = {"m": m, "n": n, "k": k, "group": group, "split": split}
    if role == "dequantize":
        names: tuple[str, ...] = (*STORED[: stored - 1], "y")
    else:
        names = _name_tensors(source.manifest.input != "float", stored, has_bias, split)
    call = Call(source, build.name, index, {c: v for c, v in counts.items() if c in taken}, names)
    tiles = count_tiles(build.tile, m, n)
    return Ready(call, dtype, split, split * tiles * build.tile.m * build.tile.n, tiles)


def forget() -> None:
    """Drop everything that was made ready: the cards are others now."""
    _prepare.cache_clear()
    _ready.cache_clear()
    counters.forget()


@functools.cache
def most_rows(source: Source, n: int, k: int) -> int:
    """Rows of x that one launch can index with 32 bits and cover with blocks of whichever build."""
    axes = source.manifest.grid
    covered = min(most_along(build.tile, axes, "m") for build in source.builds.values())
    return max(1, min(INT32_MAX // max(n, k), covered))


def _elsewhere(source: Source, device: torch.device, home: torch.device) -> ValueError:
    return ValueError(
        f"x is on {device}, the weight of the layer on {home}: cuda.{source.name} needs both on one"
    )


BY_ROLE: dict[Role, Callable[[Source], Run]] = {
    "gemv": run_product,
    "gemm": run_product,
    "dequantize": run_dequantized,
}
"""Role of a kernel that computes layers → how it is run."""
