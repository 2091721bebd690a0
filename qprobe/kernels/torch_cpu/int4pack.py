"""4-bit weights in groups through torch's weight-only product in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels import _int4pack
from qprobe.kernels._kernel import Kernel, LayerSpec, any_code, nothing
from qprobe.quantize.group import LOW, unpack_codes

ROWS = 16
MAX_ROWS = 64
"""It has no tiles: beyond these, multiplying the dequantized weight is several times faster."""


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
    both = _int4pack.scale_and_offset(tensors, spec.n)
    return torch._convert_weight_to_int4pack_for_cpu(codes, 1), both


def _unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    return _int4pack.unpack(torch._weight_int4pack_mm_for_cpu, packed, spec)


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    return _int4pack.run(torch._weight_int4pack_mm_for_cpu, x, packed, bias, out_dtype)


KERNEL = Kernel(
    id="cpu.int4pack",
    schemes=_int4pack.COMPUTED,
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
