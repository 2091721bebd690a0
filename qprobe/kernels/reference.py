"""The plain PyTorch way that computes every scheme on every device: dequantize, then multiply."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import Kernel, LayerSpec, accept, any_code, nothing
from qprobe.quantize.scheme import canonical_names, dequantize_stored

ALIGNMENT = 32
"""Bytes. torch's int8 product loads what lies otherwise all the same, which ends the process."""


def pack_canonical(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """The canonical tensors themselves, in their order, where any kernel can read them."""
    names = canonical_names(SCHEMES[spec.scheme])
    return tuple(align(tensors[name].contiguous()) for name in names)


def align(tensor: Tensor) -> Tensor:
    """The tensor, copied where it begins at an odd place, as in a mapped file."""
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor


def unpack_canonical(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors by name."""
    return dict(zip(canonical_names(SCHEMES[spec.scheme]), packed, strict=True))


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    weight = packed[0]
    if len(packed) > 1:
        weight = dequantize_stored(packed, x.dtype)
    elif weight.dtype != x.dtype:
        x = x.to(weight.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    return functional.linear(x, weight, bias).to(out_dtype)


KERNEL = Kernel(
    id="reference",
    schemes=frozenset(SCHEMES),
    device="any",
    packing="canonical",
    input="float",
    dequantizes=True,
    absent=nothing,
    max_code=any_code,
    refuse=accept,
    pack=pack_canonical,
    unpack=unpack_canonical,
    run=_run,
)
