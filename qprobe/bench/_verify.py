"""A kernel is verified before it is timed: against the exact product of what it was given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qprobe.bench._candidates import Candidate
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.layers._linear import PlannedLinear

CHECKED_ROWS = 64
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Relative error ‖y−ŷ‖/‖y‖ that rounding alone explains, by the least precise type involved.

A kernel whose hardware is known to add up less precisely says so: `Kernel.sum_error`.
"""


def check_layer(candidate: Candidate, layer: nn.Linear, x: Tensor, y: Tensor) -> str:
    """Compare y = layer(x) with the exact product of the layer's own weight; "" if it is right.

    x (M, K), y (M, N); some rows are compared, in float64.
    """
    rows = _some_rows(len(x))
    seen = x[rows].double()
    if candidate.kernel.input != "float":
        seen = dequantize_tokens(*quantize_tokens(x[rows], candidate.kernel.input))
    weight = layer.weight if type(layer) is nn.Linear else None
    if isinstance(layer, PlannedLinear):
        weight = layer.dequantize(torch.float64)
    if weight is None:
        raise TypeError(f"{type(layer).__name__} is not a layer that a plan installs")
    exact = seen @ weight.double().T
    if layer.bias is not None:
        exact += layer.bias.double()
    error = relative_error(exact, y[rows])
    types = (candidate.dtype, layer.weight.dtype)
    limit = max(*(TOLERANCE.get(t, 0.0) for t in types), candidate.kernel.sum_error)
    if error <= limit:
        return ""
    return (
        f"wrong numbers: relative error {error:.2e} against the exact product, {limit:.0e} allowed"
    )


def relative_error(exact: Tensor, y: Tensor) -> float:
    """‖exact − y‖ / ‖exact‖, infinite where y is not finite."""
    error = float((exact - y.double()).norm() / exact.norm())
    return error if error == error else float("inf")


def _some_rows(m: int) -> Tensor:
    """Up to `CHECKED_ROWS` of M rows, spread from the first to the last."""
    return torch.linspace(0, m - 1, min(m, CHECKED_ROWS)).round().long()
