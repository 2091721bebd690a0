"""How the kernels of each role are run: tensors in, y out, whatever the shape of x."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import Run
from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda._heuristics import choose_among, choose_split, count_tiles
from qprobe.kernels.cuda._stored import NAMES
from qprobe.kernels.cuda.arguments import INT32_MAX
from qprobe.kernels.cuda.grid import most_along
from qprobe.kernels.cuda.launch import Call
from qprobe.kernels.cuda.manifest import Role
from qprobe.kernels.cuda.portfolio import Source

ALIGNMENT = 16
"""Bytes of the widest load."""
PREFERRED = (torch.float32, torch.bfloat16, torch.float16)
"""What activations of another type are brought to, the widest range first."""
SHAPES = 4096
"""Launches that are kept ready: as many shapes of x as a server sees."""
TENSORS = ("x", "x_scale", "packed", "scales", "zeros", "bias", "y", "scratch", "counters")


class Ready(NamedTuple):
    """A product made ready for one shape of x."""

    call: Call
    dtype: torch.dtype
    """What activations and results are computed in."""
    parts: int
    """Parts of K."""
    sums: int
    """Partial sums, where there are several parts."""
    tiles: int


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
        words, label, shape, device = packed[0], packed[-1], x.shape, x.device
        n, k, number, _ = label.shape
        if words.device != device:
            raise _elsewhere(source, x, words)
        if is_coded:
            if x_scale is None:
                raise TypeError(f"{source.name} multiplies quantized activations")
            x_scale = x_scale.contiguous()
            if words.shape[-1] > k:  # Codes are padded as the weight's are: with zeros.
                x, k = functional.pad(x, (0, words.shape[-1] - k)), words.shape[-1]
        m, most = x.numel() // k, most_rows(source, n, k)
        wanted = out_dtype if is_coded else x.dtype
        index, thread = device.index or 0, threading.get_ident()
        ready = _ready(source, number, wanted, min(m, most) or 1, n, k, index, thread)
        dtype = ready.dtype
        x = align(x if is_coded or x.dtype == dtype else x.to(dtype))
        if bias is not None:
            bias = align(bias if bias.dtype == dtype else bias.to(dtype))
        y = torch.empty((*shape[:-1], n), dtype=dtype, device=device)
        if 0 < m <= most:
            _start(ready, x, x_scale, packed, bias, y)
        elif m:
            rows, to = x.reshape(m, k), y.reshape(m, n)
            for start in range(0, m, most):
                part = slice(start, min(m, start + most))
                size = part.stop - start
                ready = _ready(source, number, wanted, size, n, k, index, thread)
                scale = None if x_scale is None else x_scale.reshape(m)[part]
                _start(ready, align(rows[part]), scale, packed, bias, to[part])
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
    scratch = counters = None
    if ready.parts > 1:
        # Of this call alone: two streams may run one layer at a time.
        scratch = torch.empty(ready.sums, dtype=torch.float32, device=x.device)
        counters = torch.zeros(ready.tiles, dtype=torch.int32, device=x.device)
    zeros = packed[2] if len(packed) > 3 else None
    ready.call.run(x, x_scale, packed[0], packed[1], zeros, bias, y, scratch, counters)


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
            raise _elsewhere(source, x, words)
        index, thread = x.device.index or 0, threading.get_ident()
        ready = _ready(source, number, x.dtype, 1, n, k, index, thread)
        weight = torch.empty(n, k, dtype=ready.dtype, device=x.device)
        if x.numel():
            zeros = packed[2] if len(packed) > 3 else None
            ready.call.run(None, None, words, packed[1], zeros, None, weight, None, None)
        bias = None if bias is None else bias.to(ready.dtype)
        return functional.linear(x.to(ready.dtype), weight, bias).to(out_dtype)

    return run


@functools.lru_cache(maxsize=SHAPES)
def _ready(
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
    call = Call(source, build.name, index, {c: v for c, v in counts.items() if c in taken}, TENSORS)
    tiles = count_tiles(build.tile, m, n)
    return Ready(call, dtype, split, split * tiles * build.tile.m * build.tile.n, tiles)


def forget() -> None:
    """Drop everything that was made ready: the cards are others now."""
    _ready.cache_clear()


@functools.cache
def most_rows(source: Source, n: int, k: int) -> int:
    """Rows of x that one launch can index with 32 bits and cover with blocks of whichever build."""
    axes = source.manifest.grid
    covered = min(most_along(build.tile, axes, "m") for build in source.builds.values())
    return max(1, min(INT32_MAX // max(n, k), covered))


def align(matrix: Tensor) -> Tensor:
    """The matrix contiguous, at an address that the widest load takes."""
    if not matrix.is_contiguous():
        return matrix.contiguous()  # New memory is aligned.
    return matrix.clone() if matrix.data_ptr() % ALIGNMENT else matrix


def _elsewhere(source: Source, x: Tensor, words: Tensor) -> ValueError:
    return ValueError(
        f"x is on {x.device}, the weight of the layer on {words.device}: "
        f"cuda.{source.name} needs both on one"
    )


BY_ROLE: dict[Role, Callable[[Source], Run]] = {
    "gemv": run_product,
    "gemm": run_product,
    "dequantize": run_dequantized,
}
"""Role of a kernel that computes layers → how it is run."""
