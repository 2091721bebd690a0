"""Whether a kernel computes what its layer stores, on random numbers: asked before it is timed or taken."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qprobe.kernels._kernel import Kernel
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.layers._linear import PlannedLinear

CHECKED_ROWS = 64
OUTLIERS, OUTLIER_SHARE = 20, 0.01
"""So many times larger are these features, as those of language models are."""
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Relative error ‖y−ŷ‖/‖y‖ that rounding alone explains, by the least precise type involved.

A kernel whose hardware is known to add up less precisely says so: `Kernel.sum_error`.
"""


def check_layer(kernel: Kernel, layer: nn.Linear, x: Tensor, y: Tensor) -> str:
    """Compare y = layer(x), by the kernel, with the exact product of the layer's own weight; "" if it is right.

    x (M, K), y (M, N); some rows are compared, in float64.
    """
    rows = some_rows(len(x))
    seen = x[rows].double()
    if kernel.input != "float":
        seen = dequantize_tokens(*quantize_tokens(x[rows], kernel.input))
    weight = layer.weight if type(layer) is nn.Linear else None
    if isinstance(layer, PlannedLinear):
        weight = layer.dequantize(torch.float64)
    if weight is None:
        raise TypeError(f"{type(layer).__name__} is not a layer that a plan installs")
    exact = seen @ weight.double().T
    if layer.bias is not None:
        exact += layer.bias.double()
    error = relative_error(exact, y[rows])
    types = (x.dtype, layer.weight.dtype)
    limit = max(*(TOLERANCE.get(t, 0.0) for t in types), kernel.sum_error)
    if error <= limit:
        return ""
    return (
        f"wrong numbers: relative error {error:.2e} against the exact product, {limit:.0e} allowed"
    )


def relative_error(exact: Tensor, y: Tensor) -> float:
    """‖exact − y‖ / ‖exact‖, infinite where y is not finite."""
    error = float((exact - y.double()).norm() / exact.norm())
    return error if error == error else float("inf")


def some_rows(m: int) -> Tensor:
    """Up to `CHECKED_ROWS` of M rows, spread from the first to the last."""
    return torch.linspace(0, m - 1, min(m, CHECKED_ROWS)).round().long()


def random_linear(n: int, k: int, generator: torch.Generator) -> nn.Linear:
    """A layer whose weight (N, K), float32, keeps the norm of what it multiplies, on the generator's device."""
    linear = nn.Linear(k, n, device="meta")
    weight = random_rows(n, k, generator) / math.sqrt(k)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(random_rows(1, n, generator)[0], requires_grad=False)
    return linear


def random_rows(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, float32, on the generator's device."""
    return torch.randn(rows, columns, generator=generator, device=generator.device)


def random_outliers(k: int, generator: torch.Generator) -> Tensor:
    """What to multiply the features of x (…, K) with, so that a few stand out."""
    stands_out = torch.rand(k, generator=generator, device=generator.device) < OUTLIER_SHARE
    return 1 + OUTLIERS * stands_out
