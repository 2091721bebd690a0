"""What a linear would give under a scheme, computed with plain float arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.documents.scheme import SCHEMES, Scheme
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.quantize.scheme import dequantize_weight, quantize_weight

CHUNK = 2**20
Inputs = tuple[Tensor, ...]
Named = Mapping[str, Tensor]


def input_of(inputs: Inputs, named: Named) -> Tensor:
    """What a linear is called with, by place or by name."""
    return inputs[0] if inputs else named["input"]


def list_algorithms(scheme: Scheme) -> tuple[str, ...]:
    """The algorithms that a plan may choose for a scheme: for each range of codes the best one."""
    codes = sorted(set(scheme.algorithms.values()), reverse=True)
    found = (scheme.choose_algorithm(code) for code in codes)
    return tuple(algorithm for algorithm in found if algorithm)


def simulate(linear: nn.Linear, x: Tensor, scheme: Scheme, algorithm: str) -> Tensor:
    """Y (…, N) for x (…, K) from the stored weight and, where the scheme says so, rounded x."""
    tensors = quantize_weight(linear.weight, scheme, algorithm)
    weight = dequantize_weight(tensors, scheme, x.dtype)
    if scheme.input_activations is not None:
        form = "int8" if scheme.input_activations.type == "int" else "float8_e4m3fn"
        x = dequantize_tokens(*quantize_tokens(x, form)).to(x.dtype)
    elif scheme.weights is not None and not scheme.is_quantized:
        x = x.to(tensors["weight"].dtype).to(x.dtype)
    return functional.linear(x, weight, linear.bias)


@contextmanager
def simulated(linears: list[nn.Linear], scheme_name: str, algorithm: str) -> Iterator[None]:
    """Within, these linears compute as under the scheme. The module itself is not changed."""
    scheme = SCHEMES[scheme_name]

    def replace(linear: nn.Module, inputs: Inputs, named: Named, _output: Tensor) -> Tensor:
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"{type(linear).__name__} is not a linear")
        return simulate(linear, input_of(inputs, named), scheme, algorithm)

    handles = [linear.register_forward_hook(replace, with_kwargs=True) for linear in linears]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def error_power(exact: Tensor, y: Tensor) -> float:
    """‖exact − y‖² / ‖exact‖²; where exact is 0, 0 for an exact y and 1 for another."""
    noise = signal = 0.0
    for one, other in zip(_in_double(exact), _in_double(y), strict=True):
        noise += float((one - other).square_().sum())
        signal += float(one.square_().sum())
    return noise / signal if signal > 0 else float(noise > 0)


def _in_double(y: Tensor) -> Iterator[Tensor]:
    """In parts: the logits of a large vocabulary are not held in double as well."""
    return (part.to(torch.float64, copy=True) for part in y.reshape(-1).split(CHUNK))
