"""What a linear would give under a scheme, computed with plain float arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.documents.scheme import ALGORITHMS, SCHEMES, Scheme
from qprobe.kernels.activations import quantize_tokens
from qprobe.quantize.scheme import dequantize_weight, quantize_weight


def list_algorithms(scheme: Scheme) -> tuple[str, ...]:
    """The algorithms that can make the weights of a scheme."""
    return tuple(name for name, code in ALGORITHMS.items() if (code > 0) == scheme.is_quantized)


def simulate(linear: nn.Linear, x: Tensor, scheme: Scheme, algorithm: str) -> Tensor:
    """Y (…, N) for x (…, K) from the stored weight and, where the scheme says so, rounded x."""
    tensors = quantize_weight(linear.weight, scheme, algorithm)
    weight = dequantize_weight(tensors, scheme, x.dtype)
    if scheme.input_activations is not None:
        codes, scale = quantize_tokens(x, "int8")
        x = (codes.to(torch.float32) * scale).to(x.dtype)
    elif scheme.weights is not None and not scheme.is_quantized:
        x = x.to(tensors["weight"].dtype).to(x.dtype)
    return functional.linear(x, weight, linear.bias)


@contextmanager
def simulated(linears: list[nn.Linear], scheme_name: str, algorithm: str) -> Iterator[None]:
    """Within, these linears compute as under the scheme. The module itself is not changed."""
    scheme = SCHEMES[scheme_name]

    def replace(linear: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"{type(linear).__name__} is not a linear")
        return simulate(linear, inputs[0], scheme, algorithm)

    handles = [linear.register_forward_hook(replace) for linear in linears]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def error_power(exact: Tensor, y: Tensor) -> float:
    """‖exact − y‖² / ‖exact‖²; where exact is 0, 0 for an exact y and 1 for another."""
    exact = exact.double()
    noise = float((exact - y.double()).square().sum())
    signal = float(exact.square().sum())
    return noise / signal if signal > 0 else float(noise > 0)
