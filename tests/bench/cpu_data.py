"""The data of a cell: random, with outlier features, the same in every process."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CHECKED_ROWS = 64
ROTATED_BYTES = 96 * 2**20
"""The copies of a weight together, for every row alike: beyond the caches near a core, and beyond
what stays of a last-level cache that others share."""
MAX_COPIES = 48
"""Small layers still rotate over more than the caches of two cores."""
WARM_M = 256
"""From here on, a matrix product is bound by arithmetic: two copies of the weight will do."""
LIMITS = {4: 0.5, 8: 0.25, 16: 2e-2, 32: 1e-4}
"""Bits of the weight → the relative error above which numbers are wrong, not coarse."""


@dataclass(frozen=True)
class Inputs:
    """x (M, K) float32, twice, and what the first must give."""

    xs: tuple[Tensor, Tensor]
    checked: Tensor
    """Rows that are compared."""
    exact: Tensor
    """Those rows of y in float64."""

    def error(self, y: Tensor) -> float:
        """‖y−ŷ‖/‖y‖ of the rows compared; infinite where y is not finite."""
        found = y[self.checked].double()
        error = float((self.exact - found).norm() / self.exact.norm())
        return error if math.isfinite(error) else math.inf


def count_copies(n: int, k: int, bits: int, m: int) -> int:
    """How many copies of a weight of `bits` a row rotates over at M."""
    if m >= WARM_M:
        return 2
    return max(2, min(MAX_COPIES, math.ceil(ROTATED_BYTES / (n * k * bits / 8))))


def make_linear(n: int, k: int, seed: int) -> nn.Linear:
    """An unquantized layer with random weights, by its seed."""
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(k, n, device="meta")
    weight = torch.randn(n, k, generator=generator).div_(math.sqrt(k))
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(torch.randn(n, generator=generator), requires_grad=False)
    return linear.eval()


def make_inputs(linear: nn.Linear, m: int) -> Inputs:
    """Inputs for M rows, and the exact product of the first with this layer."""
    first, second = (draw_rows(m, linear.in_features, seed) for seed in range(2))
    checked = torch.linspace(0, m - 1, min(m, CHECKED_ROWS)).round().long()
    exact = first[checked].double() @ linear.weight.double().T + linear.bias.double()
    return Inputs((first, second), checked, exact)


def draw_rows(m: int, k: int, seed: int) -> Tensor:
    """Random x (M, K) float32 of which one feature in a hundred, always the same, is 21 times larger."""
    outliers = 1 + 20 * (torch.rand(k, generator=torch.Generator().manual_seed(k)) < 0.01)
    return torch.randn(m, k, generator=torch.Generator().manual_seed(10**6 + seed)) * outliers
