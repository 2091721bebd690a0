"""8-bit weights, widened as they are read, through torch's weight-only product in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, LayerSpec, any_code, nothing
from qprobe.kernels.reference import align, pack_canonical, unpack_canonical

VECTOR = 16
MAX_ROWS = 64
"""It has no tiles: beyond these, multiplying the dequantized weight is several times faster."""


def _refuse(spec: LayerSpec) -> str:
    if spec.activation_dtype != torch.bfloat16:
        return (
            "its other types than bfloat16 are computed one element at a time, 10 to 600 times "
            f"slower; the activations are {spec.activation_dtype}"
        )
    if spec.k % VECTOR:
        return f"it reads beyond the weight unless K is a multiple of {VECTOR}; K is {spec.k}"
    return ""


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    codes, scale = packed
    rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16).contiguous()
    if not len(rows):
        return x.new_empty(*x.shape[:-1], len(codes), dtype=out_dtype)
    scales = scale.reshape(-1).to(torch.bfloat16)
    y = torch._weight_int8pack_mm(align(rows), align(codes), scales)
    y = y if bias is None else y + bias.to(y.dtype)
    return y.reshape(*x.shape[:-1], y.shape[-1]).to(out_dtype)


KERNEL = Kernel(
    id="cpu.int8pack",
    schemes=frozenset({"W8A16"}),
    device="cpu",
    packing="canonical",
    input="float",
    absent=nothing,
    max_code=any_code,
    refuse=_refuse,
    pack=pack_canonical,
    unpack=unpack_canonical,
    run=_run,
    max_rows=MAX_ROWS,
)
