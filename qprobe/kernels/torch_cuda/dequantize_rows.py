"""int8 weights, row by row, brought to the type of x by torch and multiplied in it.

The way for many rows of x on cards whose 16-bit tensor cores are faster than their 8-bit products
(7.0: twice as fast as dp4a), from the packing that those products read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.kernels import gpus
from qprobe.kernels._kernel import Kernel, accept, any_code
from qprobe.kernels.cuda._stored import add_label
from qprobe.kernels.cuda.packing import rows_s8


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    codes, scales, label = packed
    weight = torch.empty(codes.shape, dtype=x.dtype, device=codes.device)
    # In float32, rounded once, without a temporary of that type.
    torch.mul(codes, scales[:, None], out=weight)
    bias = None if bias is None else bias.to(x.dtype)
    return functional.linear(x, weight[:, : label.shape[1]], bias).to(out_dtype)


KERNEL = Kernel(
    id="cuda.dequantize_rows",
    schemes=frozenset({"W8A8"}),
    device="cuda",
    packing="cuda_rows_s8",
    input="float",
    dequantizes=True,
    absent=lambda _device: gpus.no_gpu(),
    max_code=any_code,
    refuse=accept,
    pack=lambda tensors, spec: add_label(rows_s8.pack(tensors, spec), spec),
    unpack=lambda packed, spec: rows_s8.unpack(packed[:-1], spec),
    run=_run,
)
