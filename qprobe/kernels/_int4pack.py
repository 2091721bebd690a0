"""What torch's weight-only products of 4-bit weights have in common, on processors and on GPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES, GroupWeights
from qprobe.kernels._kernel import LayerSpec
from qprobe.quantize.group import HIGH, LOW, pack_codes, unpack_codes

COMPUTED = frozenset({"W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM"})
CHUNK = 256
"""Rows of the identity that are multiplied at once to unpack."""

Multiply = Callable[[Tensor, Tensor, int, Tensor], Tensor]
"""Y (M, N) for x (M, K) bfloat16, codes in the product's own layout, the group size, and scale and offset."""


def scale_and_offset(tensors: dict[str, Tensor], n: int) -> Tensor:
    """(K/G, N, 2) bfloat16 of w = q · s + offset, with q in −8 … 7."""
    scale = tensors["weight_scale"]
    offset = torch.zeros_like(scale)
    if "weight_zero_point" in tensors:
        offset = -scale * unpack_codes(tensors["weight_zero_point"].t())[:, :n].t()
    return torch.stack([scale.t(), offset.t()], dim=-1).contiguous()


def unpack(multiply: Multiply, packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors: the codes are the product with the identity.

    The layout depends on the device, and differs between versions of torch.
    """
    codes, both = packed
    unit = torch.ones_like(both)
    unit[..., 1] = 0
    columns = []
    for start in range(0, spec.k, CHUNK):
        rows = both.new_zeros(min(CHUNK, spec.k - start), spec.k)
        rows.diagonal(start).fill_(1)
        columns.append(multiply(rows, codes, spec.k // len(both), unit).t())
    scale = both[..., 0].t().contiguous()
    tensors = {
        "weight_packed": pack_codes(torch.cat(columns, dim=1).to(torch.int8)),
        "weight_scale": scale,
        "weight_shape": torch.tensor([spec.n, spec.k], device=codes.device),
    }
    weights = SCHEMES[spec.scheme].weights
    if isinstance(weights, GroupWeights) and not weights.symmetric:
        point = (-both[..., 1].t().float() / scale.float()).round_().clamp_(LOW, HIGH)
        tensors["weight_zero_point"] = pack_codes(point.to(torch.int8).t()).t().contiguous()
    return tensors


def run(
    multiply: Multiply,
    x: Tensor,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    """Y (…, N) for x (…, K), as kernels give it."""
    codes, both = packed
    n, k = both.shape[1], x.shape[-1]
    rows = x.reshape(-1, k).to(torch.bfloat16).contiguous()
    if not len(rows):
        return x.new_empty(*x.shape[:-1], n, dtype=out_dtype)
    y = multiply(rows, codes, k // len(both), both)
    y = y if bias is None else y + bias.to(y.dtype)
    return y.reshape(*x.shape[:-1], n).to(out_dtype)
