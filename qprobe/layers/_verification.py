"""Whether a kernel computes what its layer stores, on random numbers: asked before it is timed or taken."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from qprobe.kernels._kernel import Kernel
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.layers._linear import PlannedLinear
from qprobe.quantize.scheme import dequantize_weight

CHECKED_ROWS = 64
OUTLIERS, OUTLIER_SHARE = 20, 0.01
"""So many times larger are these features, as those of language models are."""
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Relative error ‖y−ŷ‖/‖y‖ that rounding alone explains, by the least precise type involved.

A kernel whose hardware is known to add up less precisely says so: `Kernel.sum_error`.
"""
FEATURE = 10
"""So many times that error may a single output feature have, over the usual size of one."""
STEP = {"int8": 1 / 127, "uint8": 1 / 127, "float8_e4m3fn": 1 / 16}
"""Form of codes → the distance of two of them, where it is greatest, over the largest activation."""
LEAST_SIZE = 1e-30
"""Of what errors are taken relative to."""


def check_layer(
    kernel: Kernel, layer: nn.Linear, x: Tensor, y: Tensor, *, coarseness: float = 0.0
) -> str:
    """Compare y = layer(x), by the kernel, with the exact product of the layer's own weight; "" if it is right.

    x (M, K), y (M, N); some rows are compared, in float64, all together and each output feature by itself.
    `coarseness` is a relative error that is known to be none of the kernel's.
    """
    rows = some_rows(len(x))
    real = seen = x[rows].double()
    if kernel.input != "float":
        seen = dequantize_tokens(*quantize_tokens(x[rows], kernel.input)).double()
        if words := _check_codes(kernel, real, seen):
            return words
    weight, stored = _weight_of(layer)
    exact = seen @ weight.T
    if layer.bias is not None:
        exact += layer.bias.double()
    # As large as y is if nothing cancels: a single number may be next to nothing.
    usual = float(seen.norm() * weight.norm()) / math.sqrt(weight.shape[1])
    size = max(float(exact.norm()), usual, LEAST_SIZE)
    off = exact - y[rows].double()
    explained = (TOLERANCE.get(x.dtype, 0.0), TOLERANCE.get(stored, 0.0))
    limit = max(*explained, kernel.sum_error, coarseness)
    error = _finite(off.norm()) / size
    if error > limit:
        return (
            f"wrong numbers: relative error {error:.2e} against the exact product, {limit:.0e} "
            "allowed"
        )
    of_features = off.norm(dim=0) * math.sqrt(weight.shape[0]) / size
    worst = int(of_features.argmax())
    if (error := _finite(of_features[worst])) > (limit := FEATURE * limit):
        return (
            f"wrong numbers in output feature {worst}: relative error {error:.2e} against the "
            f"exact product, {limit:.0e} allowed"
        )
    return ""


def _check_codes(kernel: Kernel, real: Tensor, seen: Tensor) -> str:
    """Whether codes stand for the activations (M, K) to a step of theirs, twice what rounding explains."""
    off = (real - seen).abs().amax(dim=1) / real.abs().amax(dim=1).clamp_min(LEAST_SIZE)
    if (worst := _finite(off.max())) <= STEP[kernel.input]:
        return ""
    return f"wrong codes: {kernel.input} codes are off by {worst:.0%} of the largest activation"


def _weight_of(layer: nn.Linear) -> tuple[Tensor, torch.dtype]:
    """The weight (N, K) in float64 that a layer multiplies by, and the type in which it is stored."""
    if isinstance(layer, PlannedLinear):
        tensors = layer.canonical()
        stored = next(iter(tensors.values())).dtype
        return dequantize_weight(tensors, layer.scheme, torch.float64), stored
    if type(layer) is nn.Linear:
        return layer.weight.double(), layer.weight.dtype
    raise TypeError(f"{type(layer).__name__} is not a layer that a plan installs")


def _finite(error: Tensor) -> float:
    """The number, infinite where it is none."""
    return float(error) if error == error else math.inf


def relative_error(exact: Tensor, y: Tensor) -> float:
    """‖exact − y‖ / ‖exact‖, infinite where y is not finite."""
    return _finite((exact - y.double()).norm() / exact.norm())


def some_rows(m: int) -> Tensor:
    """Up to `CHECKED_ROWS` of M rows, spread from the first to the last."""
    count = min(m, CHECKED_ROWS)
    return torch.linspace(0, m - 1, count, dtype=torch.float64, device="cpu").round().long()


def random_linear(n: int, k: int, generator: torch.Generator) -> nn.Linear:
    """A layer whose weight (N, K), float32, keeps the norm of what it multiplies, on the generator's device."""
    linear = nn.Linear(k, n, device="meta")
    weight = random_rows(n, k, generator) / math.sqrt(k)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(random_rows(1, n, generator)[0], requires_grad=False)
    return linear


def random_rows(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Standard normal numbers, float32, on the generator's device."""
    return torch.randn(
        rows, columns, generator=generator, device=generator.device, dtype=torch.float32
    )


def random_outliers(k: int, generator: torch.Generator) -> Tensor:
    """What to multiply the features of x (…, K) with, so that a few stand out."""
    drawn = torch.rand(k, generator=generator, device=generator.device, dtype=torch.float32)
    return 1 + OUTLIERS * (drawn < OUTLIER_SHARE)
