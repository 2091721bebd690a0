"""Weights of any quantized scheme, dequantized block by block and multiplied in floating point.

The way for many rows of x where there are no tiles for stored codes. At no time is more than a block of
the weight held in floating point.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import Kernel, accept, any_code, nothing
from qprobe.kernels.reference import pack_canonical, unpack_canonical
from qprobe.quantize.scheme import dequantize_stored

BLOCK_BYTES = 2 * 2**20
"""Of the dequantized block: what the second-level cache holds."""
ROWS_PER_WORD = 8
"""Zero points lie eight rows to a word: blocks begin at multiples of it."""


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    k, n = x.shape[-1], packed[0].shape[0]
    dtype = x.dtype if x.dtype in (torch.float32, torch.bfloat16) else torch.float32
    x = x.to(dtype)
    rows = max(1, BLOCK_BYTES // (k * dtype.itemsize * ROWS_PER_WORD)) * ROWS_PER_WORD
    y = x.new_empty(*x.shape[:-1], n)
    for start in range(0, n, rows):
        end = min(n, start + rows)
        weight = dequantize_stored(rows_of(packed, start, end), dtype)
        part = None if bias is None else bias[start:end].to(dtype)
        y[..., start:end] = functional.linear(x, weight, part)
    return y.to(out_dtype)


def rows_of(packed: Sequence[Tensor], start: int, end: int) -> list[Tensor]:
    """The canonical tensors of the rows from `start`, a multiple of 8, to `end`."""
    codes, scale, *others = packed
    found = [codes[start:end], scale[start:end], *others[:1]]
    if len(others) > 1:
        found.append(others[1][start // ROWS_PER_WORD : -(-end // ROWS_PER_WORD)])
    return found


KERNEL = Kernel(
    id="cpu.dequantize_blocks",
    schemes=frozenset(name for name, scheme in SCHEMES.items() if scheme.is_quantized),
    device="cpu",
    packing="canonical",
    input="float",
    absent=nothing,
    max_code=any_code,
    refuse=accept,
    pack=pack_canonical,
    unpack=unpack_canonical,
    run=_run,
)
