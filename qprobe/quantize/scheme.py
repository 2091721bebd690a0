"""Any scheme: a float weight to canonical tensors, and back."""

from __future__ import annotations

import torch
from torch import Tensor

from qprobe.documents.scheme import CastWeights, ChannelWeights, Scheme
from qprobe.quantize.channel import dequantize_channel, quantize_channel


def quantize_weight(weight: Tensor, scheme: Scheme, algorithm: str) -> dict[str, Tensor]:
    """The canonical tensors of a weight (N, K) under a scheme.

    Raises InputError where the weight holds NaN or infinity and the scheme has scales.
    """
    match scheme.weights:
        case ChannelWeights():
            return quantize_channel(weight, algorithm)
        case CastWeights(dtype=name):
            return {"weight": weight.detach().to(getattr(torch, name))}
        case None:
            return {"weight": weight.detach()}


def dequantize_weight(tensors: dict[str, Tensor], scheme: Scheme, dtype: torch.dtype) -> Tensor:
    """The weight (N, K) in `dtype` that canonical tensors stand for."""
    if isinstance(scheme.weights, ChannelWeights):
        return dequantize_channel(tensors, dtype)
    return tensors["weight"].to(dtype)


def canonical_names(scheme: Scheme) -> tuple[str, ...]:
    """The names of the tensors that a layer of this scheme saves, without the bias."""
    return ("weight", "weight_scale") if scheme.is_quantized else ("weight",)
