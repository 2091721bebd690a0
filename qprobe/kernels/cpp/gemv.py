"""Weights of 4 and 8 bits against few rows of x: each weight is read once and widened in registers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, accept, any_code
from qprobe.kernels.cpp._library import why_absent
from qprobe.kernels.cpp._weight_only import SCHEMES, multiply
from qprobe.kernels.reference import pack_canonical, unpack_canonical

NAME = "qprobe_gemv"
FEATURES = frozenset({"avx512f", "avx512bw", "avx512vl"})
MAX_ROWS = 16
"""Rows are computed four at a time, so that beyond these every other way is faster."""


def _absent(_device: str) -> str:
    return why_absent(NAME, FEATURES)


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    return multiply(NAME, x, packed, bias, out_dtype, (torch.float32, torch.bfloat16))


KERNEL = Kernel(
    id="cpu.gemv_avx512",
    schemes=SCHEMES,
    device="cpu",
    packing="canonical",
    input="float",
    absent=_absent,
    max_code=any_code,
    refuse=accept,
    pack=pack_canonical,
    unpack=unpack_canonical,
    run=_run,
    max_rows=MAX_ROWS,
)
