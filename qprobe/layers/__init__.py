"""The layers that a plan installs in place of `nn.Linear`: one file a family of schemes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qprobe._discover import discover
from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import CastWeights, Scheme
from qprobe.layers._linear import PlannedLinear
from qprobe.quantize.scheme import quantize_weight


@functools.cache
def layers_by_scheme() -> dict[str, type[PlannedLinear]]:
    """Scheme name → the class of layers that stores it."""
    classes: tuple[type[PlannedLinear], ...] = discover(sys.modules[__name__], "LAYER")
    return {name: layer for layer in classes for name in sorted(layer.schemes)}


def make_layer(
    linear: nn.Linear,
    scheme: Scheme,
    algorithm: str,
    kernels: Sequence[KernelRange],
    compute_dtype: torch.dtype,
    tensors: dict[str, Tensor] | None = None,
) -> nn.Linear:
    """The layer that computes what `linear` does, under a scheme, by the kernels planned.

    An unquantized layer that only the reference kernel computes stays an `nn.Linear`. `linear`
    itself is not changed. `tensors` are the canonical ones where the weight is quantized already.

    Raises InputError for weights that cannot be quantized, PlanMismatchError for kernels that
    cannot compute the layer here.
    """
    plain = {item.kernel for item in kernels} == {"reference"} and not scheme.is_quantized
    cast = isinstance(scheme.weights, CastWeights) and scheme.weights.dtype
    weight_dtype: torch.dtype = getattr(torch, cast) if cast else compute_dtype
    if plain and weight_dtype == compute_dtype:
        return _as_plain(linear, compute_dtype)
    weight = linear.weight.to(compute_dtype) if scheme.weights is None else linear.weight
    bias = None if linear.bias is None else linear.bias.to(compute_dtype)
    layer = layers_by_scheme()[scheme.name](
        quantize_weight(weight, scheme, algorithm) if tensors is None else tensors,
        bias,
        scheme=scheme,
        algorithm=algorithm,
        kernels=kernels,
        compute_dtype=compute_dtype,
    )
    return layer.train(linear.training)


def _as_plain(linear: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    if linear.weight.dtype == dtype:
        return linear
    plain = nn.Linear(
        linear.in_features, linear.out_features, linear.bias is not None, device="meta", dtype=dtype
    )
    plain.weight = nn.Parameter(linear.weight.detach().to(dtype), requires_grad=False)
    if linear.bias is not None:
        plain.bias = nn.Parameter(linear.bias.detach().to(dtype), requires_grad=False)
    return plain.train(linear.training)
