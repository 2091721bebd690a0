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
from qprobe.kernels.cuda.grid import LIMITS
from qprobe.kernels.cuda.launch import Call
from qprobe.kernels.cuda.manifest import Role
from qprobe.kernels.cuda.portfolio import Source

ALIGNMENT = 16
"""Bytes of the widest load."""
PREFERRED = (torch.bfloat16, torch.float16, torch.float32)
"""What activations of another type are brought to, the widest range first."""
SHAPES = 4096
"""Launches that are kept ready: as many shapes of x as a server sees."""
TENSORS = ("x", "x_scale", "packed", "scales", "zeros", "bias", "y", "scratch", "counters")


class Ready(NamedTuple):
    """A product made ready for one shape of x."""

    call: Call
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
        words, scales, *zeros, label = packed
        n, k, number, _ = label.shape
        _check_device(source, x, words)
        if is_coded and x_scale is None:
            raise TypeError(f"{source.name} multiplies quantized activations")
        index = x.device.index or 0
        dtype = choose_dtype(source, number, out_dtype if is_coded else x.dtype, index)
        rows = x.reshape(-1, k)
        if is_coded:
            k = words.shape[-1]  # Codes are padded as the weight's are: with zeros.
            rows = align(functional.pad(rows, (0, k - x.shape[-1])) if k > x.shape[-1] else rows)
        else:
            rows = align(rows.to(dtype))
        x_scale = None if x_scale is None else x_scale.reshape(-1)
        bias = None if bias is None else align(bias.to(dtype))
        m, device = rows.shape[0], x.device
        y = torch.empty(m, n, dtype=dtype, device=device)
        most = most_rows(n, k)
        thread = threading.get_ident()
        for start in range(0, m, most):
            part = rows[start : start + most] if m > most else rows
            ready = _ready(source, number, dtype, (len(part), n, k), index, thread)
            scratch = counters = None
            if ready.parts > 1:
                # Of this call alone: two streams may run one layer at a time.
                scratch = torch.empty(ready.sums, dtype=torch.float32, device=device)
                counters = torch.zeros(ready.tiles, dtype=torch.int32, device=device)
            scale = x_scale if x_scale is None or not start else x_scale[start:]
            to = y[start:] if start else y
            zero = zeros[0] if zeros else None
            ready.call.run(part, scale, words, scales, zero, bias, to, scratch, counters)
        y = y if dtype == out_dtype else y.to(out_dtype)
        return y if x.dim() == 2 else y.reshape(*x.shape[:-1], n)

    return run


def run_dequantized(source: Source) -> Run:
    """`run` by way of the whole weight in the type of x, which torch's own product then multiplies."""

    def run(
        x: Tensor,
        _x_scale: Tensor | None,
        packed: Sequence[Tensor],
        bias: Tensor | None,
        out_dtype: torch.dtype,
    ) -> Tensor:
        words, scales, *zeros, label = packed
        n, k, number, _ = label.shape
        _check_device(source, x, words)
        index = x.device.index or 0
        dtype = choose_dtype(source, number, x.dtype, index)
        weight = torch.empty(n, k, dtype=dtype, device=x.device)
        if x.numel():
            ready = _ready(source, number, dtype, (1, n, k), index, threading.get_ident())
            zero = zeros[0] if zeros else None
            ready.call.run(None, None, words, scales, zero, None, weight, None, None)
        bias = None if bias is None else bias.to(dtype)
        return functional.linear(x.to(dtype), weight, bias).to(out_dtype)

    return run


@functools.cache
def choose_dtype(source: Source, number: int, dtype: torch.dtype, index: int) -> torch.dtype:
    """The type of activations that there is a build for on the card: that of x, or the nearest."""
    capability = driver.find_card(index).capability
    for candidate in (dtype, *PREFERRED):
        if source.find_builds(NAMES[number], candidate, capability):
            return candidate
    raise TypeError(f"{source.name} has no build for {NAMES[number]}")


@functools.lru_cache(maxsize=SHAPES)
def _ready(
    source: Source,
    number: int,
    dtype: torch.dtype,
    shape: tuple[int, int, int],
    index: int,
    _thread: int,
) -> Ready:
    """Choose the build and the parts of K, and prepare the call: for each thread its own."""
    (m, n, k), scheme, role = shape, NAMES[number], source.manifest.role
    card = driver.find_card(index)
    sm_count = card.sm_count
    build = choose_among(source.find_builds(scheme, dtype, card.capability), sm_count, m, n)
    if build is None:
        raise TypeError(f"{source.name} has no build for {scheme} and {dtype}")
    split = choose_split(build.tile, role, sm_count, m, n, k)
    if role == "dequantize":
        split = -(-k // build.tile.k)
    group = SCHEMES[scheme].block
    counts = {"m": m, "n": n, "k": k, "group": group, "split": split}
    taken = source.manifest.arguments
    call = Call(source, build.name, index, {c: v for c, v in counts.items() if c in taken}, TENSORS)
    tiles = count_tiles(build.tile, m, n)
    return Ready(call, split, split * tiles * build.tile.m * build.tile.n, tiles)


def forget() -> None:
    """Drop everything that was made ready: the cards are others now."""
    _ready.cache_clear()
    choose_dtype.cache_clear()


@functools.cache
def most_rows(n: int, k: int) -> int:
    """Rows of x that one launch can index with 32 bits and cover with blocks of any height."""
    return max(1, min(INT32_MAX // max(n, k), LIMITS[1]))


def align(matrix: Tensor) -> Tensor:
    """The matrix contiguous, at an address that the widest load takes."""
    matrix = matrix.contiguous()
    return matrix.clone() if matrix.data_ptr() % ALIGNMENT else matrix


def _check_device(source: Source, x: Tensor, words: Tensor) -> None:
    if x.device != words.device:
        raise ValueError(
            f"x is on {x.device}, the weight of the layer on {words.device}: "
            f"cuda.{source.name} needs both on one"
        )


BY_ROLE: dict[Role, Callable[[Source], Run]] = {
    "gemv": run_product,
    "gemm": run_product,
    "dequantize": run_dequantized,
}
"""Role of a kernel that computes layers → how it is run."""
