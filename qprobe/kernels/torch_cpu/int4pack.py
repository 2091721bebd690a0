"""4-bit weights in groups through torch's weight-only product in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES, GroupWeights
from qprobe.kernels._kernel import Kernel, LayerSpec, any_code, nothing
from qprobe.quantize.group import HIGH, LOW, pack_codes, unpack_codes

ROWS = 16
MAX_ROWS = 64
"""It has no tiles: beyond these, multiplying the dequantized weight is several times faster."""
CHUNK = 256
"""Rows of the identity that are multiplied at once to unpack."""


def _refuse(spec: LayerSpec) -> str:
    if spec.activation_dtype != torch.bfloat16:
        return (
            "its other types than bfloat16 are computed one element at a time, 10 to 600 times "
            f"slower; the activations are {spec.activation_dtype}"
        )
    if spec.n % ROWS:
        return f"it takes N in multiples of {ROWS}; N is {spec.n}"
    return ""


def _pack(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """Codes in the product's own layout, and scale and offset (K/G, N, 2) of w = q · s + offset."""
    codes = unpack_codes(tensors["weight_packed"]).to(torch.int32) - LOW
    scale = tensors["weight_scale"]
    offset = torch.zeros_like(scale)
    if "weight_zero_point" in tensors:
        offset = -scale * unpack_codes(tensors["weight_zero_point"].t())[:, : spec.n].t()
    both = torch.stack([scale.t(), offset.t()], dim=-1).contiguous()
    return torch._convert_weight_to_int4pack_for_cpu(codes, 1), both


def _unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors: the codes are the product with the identity.

    The layout depends on the processor, and differs between versions of torch.
    """
    codes, both = packed
    unit = torch.ones_like(both)
    unit[..., 1] = 0
    columns = []
    for start in range(0, spec.k, CHUNK):
        rows = both.new_zeros(min(CHUNK, spec.k - start), spec.k)
        rows.diagonal(start).fill_(1)
        product = torch._weight_int4pack_mm_for_cpu(rows, codes, spec.k // len(both), unit)
        columns.append(product.t())
    scale = both[..., 0].t().contiguous()
    tensors = {
        "weight_packed": pack_codes(torch.cat(columns, dim=1).to(torch.int8)),
        "weight_scale": scale,
        "weight_shape": torch.tensor([spec.n, spec.k], device="cpu"),
    }
    weights = SCHEMES[spec.scheme].weights
    if isinstance(weights, GroupWeights) and not weights.symmetric:
        point = (-both[..., 1].t().float() / scale.float()).round_().clamp_(LOW, HIGH)
        tensors["weight_zero_point"] = pack_codes(point.to(torch.int8).t()).t().contiguous()
    return tensors


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    codes, both = packed
    n, k = both.shape[1], x.shape[-1]
    rows = x.reshape(-1, k).to(torch.bfloat16).contiguous()
    if not len(rows):
        return x.new_empty(*x.shape[:-1], n, dtype=out_dtype)
    y = torch._weight_int4pack_mm_for_cpu(rows, codes, k // len(both), both)
    y = y if bias is None else y + bias.to(y.dtype)
    return y.reshape(*x.shape[:-1], n).to(out_dtype)


KERNEL = Kernel(
    id="cpu.int4pack",
    schemes=frozenset({"W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM"}),
    device="cpu",
    packing="int4pack",
    input="float",
    absent=nothing,
    max_code=any_code,
    refuse=_refuse,
    pack=_pack,
    unpack=_unpack,
    run=_run,
    max_rows=MAX_ROWS,
)
