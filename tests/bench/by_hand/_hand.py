"""What a method by hand is, and all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qprobe._discover import discover

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Hand:
    """How to make the layer; it may take several, of which the fastest counts."""

    make: Callable[[nn.Linear, torch.dtype], Call | list[Call]]
    """From a float32 layer (N, K), which stays as it is, and the type of x."""
    own_threads: bool = False
    """Whether it computes with threads of its own, which need rest from torch's, and torch's from them."""
    outliers: bool = False
    """Whether it is for rows with a feature far above the rest."""


def all_hands() -> dict[str, Hand]:
    """Method → how by hand."""
    found: tuple[dict[str, Hand], ...] = discover(sys.modules[__package__], "HANDS")
    return {method: hand for hands in found for method, hand in hands.items()}


def own_copy(linear: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    """For libraries that change what they are given."""
    made = nn.Linear(linear.in_features, linear.out_features, dtype=dtype).requires_grad_(False)
    made.weight.copy_(linear.weight)
    made.bias.copy_(linear.bias)
    return made.eval()
