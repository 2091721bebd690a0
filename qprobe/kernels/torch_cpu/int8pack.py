"""8-bit weights, widened as they are read, through torch's weight-only product in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, LayerSpec, any_code, nothing

VECTOR = 16
ALIGNMENT = 32
"""Bytes. It loads activations and weights that lie otherwise all the same, which ends the process."""
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


def _pack(tensors: dict[str, Tensor], _spec: LayerSpec) -> Sequence[Tensor]:
    """Codes (N, K), scales (N,) as the product wants them, and as they are stored."""
    scale = tensors["weight_scale"]
    codes = _aligned(tensors["weight"].contiguous())
    return codes, scale.reshape(-1).to(torch.bfloat16), scale


def _unpack(packed: Sequence[Tensor], _spec: LayerSpec) -> dict[str, Tensor]:
    return {"weight": packed[0], "weight_scale": packed[2]}


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16).contiguous()
    if not len(rows):
        return x.new_empty(*x.shape[:-1], len(packed[0]), dtype=out_dtype)
    y = torch._weight_int8pack_mm(_aligned(rows), packed[0], packed[1])
    y = y if bias is None else y + bias.to(y.dtype)
    return y.reshape(*x.shape[:-1], y.shape[-1]).to(out_dtype)


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor, copied where it begins at an odd place, as in a mapped file."""
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor


KERNEL = Kernel(
    id="cpu.int8pack",
    schemes=frozenset({"W8A16"}),
    device="cpu",
    packing="int8pack",
    input="float",
    absent=nothing,
    max_code=any_code,
    refuse=_refuse,
    pack=_pack,
    unpack=_unpack,
    run=_run,
    max_rows=MAX_ROWS,
)
