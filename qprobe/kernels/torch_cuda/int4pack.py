"""4-bit weights in groups through torch's weight-only product on tensor cores, in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES, GroupWeights
from qprobe.kernels._kernel import Kernel, LayerSpec, any_code
from qprobe.kernels.torch_cuda import _operators
from qprobe.kernels.torch_cuda._capability import absent_before
from qprobe.quantize.group import HIGH, LOW, pack_codes, unpack_codes

OLDEST = (8, 0)
WORDS = "torch's 4-bit product runs"
COLUMNS = 8
"""N of a tile."""
DEPTH = 16
"""K of a tile; 2, 4 or 8 of them are stored together, the more the wider the loads."""
CHUNK = 256
"""Rows of the identity that are multiplied at once to unpack."""


def _refuse(spec: LayerSpec) -> str:
    if spec.activation_dtype != torch.bfloat16:
        return f"it takes bfloat16 activations only; these are {spec.activation_dtype}"
    if spec.n % COLUMNS:
        return f"it takes N in multiples of {COLUMNS}; N is {spec.n}"
    return ""


def _inner_tiles(k: int) -> int:
    """The most tiles that divide K: it is a multiple of a group, so that two always do."""
    return next(tiles for tiles in (8, 4, 2) if k % (tiles * DEPTH) == 0)


def _pack(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """Codes in torch's layout, and scale and offset (K/G, N, 2) of w = (q − 8) · s + offset."""
    codes = (unpack_codes(tensors["weight_packed"]) - LOW).to(torch.uint8)
    pairs = (codes[:, ::2] << 4) | codes[:, 1::2]
    scale = tensors["weight_scale"]
    offset = torch.zeros_like(scale)
    if "weight_zero_point" in tensors:
        offset = -scale * unpack_codes(tensors["weight_zero_point"].t())[:, : spec.n].t()
    both = torch.stack([scale.t(), offset.t()], dim=-1).contiguous()
    return _operators.convert_int4(pairs.contiguous(), _inner_tiles(spec.k)), both


def _unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors: the codes are the product with the identity, whatever the layout."""
    codes, both = packed
    unit = torch.ones_like(both)
    unit[..., 1] = 0
    columns = []
    for start in range(0, spec.k, CHUNK):
        size = min(CHUNK, spec.k - start)
        rows = torch.zeros(size, spec.k, dtype=torch.bfloat16, device=codes.device)
        rows.diagonal(start).fill_(1)
        columns.append(_operators.int4_mm(rows, codes, spec.k // len(both), unit).t())
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
    y = _operators.int4_mm(rows, codes, k // len(both), both)
    y = y if bias is None else y + bias.to(y.dtype)
    return y.reshape(*x.shape[:-1], n).to(out_dtype)


KERNEL = Kernel(
    id="cuda.int4pack",
    schemes=frozenset({"W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM"}),
    device="cuda",
    packing="torch_int4_tiles",
    input="float",
    absent=absent_before(OLDEST, WORDS),
    max_code=any_code,
    refuse=_refuse,
    pack=_pack,
    unpack=_unpack,
    run=_run,
)
