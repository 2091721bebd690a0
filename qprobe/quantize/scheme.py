"""Any scheme: a float weight to canonical tensors, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import (
    CastWeights,
    ChannelWeights,
    CodebookWeights,
    GroupWeights,
    Scheme,
)
from qprobe.errors import InputError
from qprobe.quantize import channel, codebook, group

LARGEST = torch.finfo(torch.float32).max / 2**27
"""Of a weight that is quantized: sums of 2²⁰ products with codes of 7 bits stay within float32."""


def quantize_weight(weight: Tensor, scheme: Scheme, algorithm: str) -> dict[str, Tensor]:
    """The canonical tensors of a weight (N, K), floating point, under a scheme.

    They bear compressed-tensors' names, in the order of `canonical_names`. Raises InputError where
    the weight holds NaN or infinity or its shape does not suit the scheme.
    """
    weight = weight.detach()
    if scheme.weights is None:
        return {"weight": weight}
    if not scheme.is_quantized:
        return {"weight": _cast(weight, scheme)}
    if words := scheme.objection(*weight.shape):
        raise InputError(f"cannot store a weight as {scheme.name}: {words}", "pin it to NONE")
    rows = (~weight.isfinite().all(dim=1)).sum().item()
    if rows:
        raise InputError(
            f"cannot quantize a weight with NaN or infinite values ({rows} of {len(weight)} rows)",
            "repair the checkpoint, or pin the layer to NONE",
        )
    largest = peak_of(weight)
    if exceeds(largest, scheme):
        raise InputError(
            f"cannot quantize a weight that holds {largest:.3g}, above {LARGEST:.3g}",
            "pin the layer to NONE",
        )
    match scheme.weights:
        case ChannelWeights():
            return channel.quantize(weight, scheme, algorithm)
        case GroupWeights():
            return group.quantize(weight, scheme, algorithm)
        case _:
            return codebook.quantize(weight, scheme, algorithm)


def peak_of(weight: Tensor) -> float:
    """The largest magnitude in a weight; NaN where it holds one."""
    return float(weight.detach().abs().max())


def exceeds(peak: float, scheme: Scheme) -> bool:
    """Whether a weight of this finite peak is beyond what the scheme can store."""
    if not math.isfinite(peak) or scheme.weights is None:
        return False
    if isinstance(scheme.weights, CastWeights):
        return bool(
            torch.tensor(peak, dtype=torch.float64, device="cpu")
            .to(_type_of(scheme.weights))
            .isinf()
        )
    return peak > LARGEST


def dequantize_weight(tensors: dict[str, Tensor], scheme: Scheme, dtype: torch.dtype) -> Tensor:
    """The weight (N, K) in `dtype` that canonical tensors stand for."""
    return dequantize_stored([tensors[name] for name in canonical_names(scheme)], dtype)


def dequantize_stored(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """The weight (N, K) of canonical tensors in their order: the type of the first tells what it holds."""
    dequantize = _DEQUANTIZE.get(tensors[0].dtype)
    return tensors[0].to(dtype) if dequantize is None else dequantize(tensors, dtype)


def canonical_names(scheme: Scheme) -> tuple[str, ...]:
    """The names of the tensors that a layer of this scheme saves, without the bias."""
    match scheme.weights:
        case ChannelWeights():
            return channel.NAMES
        case GroupWeights(symmetric=symmetric):
            return group.NAMES if symmetric else group.ASYMMETRIC_NAMES
        case CodebookWeights():
            return codebook.NAMES
        case _:
            return ("weight",)


def shape_of(tensors: dict[str, Tensor]) -> tuple[int, int]:
    """(N, K) of the weight that canonical tensors stand for, those on meta included."""
    first = next(iter(tensors.values()))
    n, width = first.shape
    return n, width * _CODES_PER_ELEMENT.get(first.dtype, 1)


def _type_of(weights: CastWeights) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, weights.dtype)
    return dtype


def _cast(weight: Tensor, scheme: Scheme) -> Tensor:
    if not isinstance(scheme.weights, CastWeights):
        raise TypeError(f"{scheme.name} is no cast")
    dtype = _type_of(scheme.weights)
    cast = weight.to(dtype)
    if bool((cast.isinf() & weight.isfinite()).any()):
        largest = peak_of(weight)
        limit = torch.finfo(dtype).max
        raise InputError(
            f"the weight holds {largest:.3g}, above {scheme.weights.dtype}'s largest, {limit:.6g}",
            "pin the layer to NONE",
        )
    return cast


_DEQUANTIZE = {
    torch.int8: channel.dequantize,
    torch.float8_e4m3fn: channel.dequantize,
    torch.int32: group.dequantize,
    torch.uint8: codebook.dequantize,
}
_CODES_PER_ELEMENT = {torch.int32: group.CODES_PER_WORD, torch.uint8: 2}
