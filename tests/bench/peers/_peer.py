"""What a peer is: a package, and its ways to compute a linear layer with narrow weights."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from qprobe._discover import discover
from qprobe.documents.base import FloatDtype

Call = Callable[[Tensor], Tensor]
Side = Literal["torch", "next"]
"""`torch`: it runs in a PyTorch model, which the bundled layers must match. `next`: another
runtime, the next mark."""


@dataclass(frozen=True)
class Way:
    """One way of a peer to compute y = x · Wᵀ + b, floating point in and out."""

    label: str
    bits: int
    """Of a weight, without scales."""
    dtypes: tuple[FloatDtype, ...]
    """The types of activations that it is measured with."""
    make: Callable[[nn.Linear, torch.dtype], Call]
    """From an unquantized float32 layer, which stays as it is, and the type of x; raises whatever
    the package raises where it cannot. An `nn.Module` can take the layer's place in a model."""
    in_models: bool = False
    """Whether whole models are converted with it as well."""


@dataclass(frozen=True)
class Peer:
    """A package and what is measured of it. Nothing of it is imported before `make`."""

    name: str
    distribution: str
    module: str
    side: Side
    ways: tuple[Way, ...]
    lead: str = ""
    """What it does that PyTorch-side layers do not, where it is faster: one clause."""
    settle_s: float = 0.0
    """Seconds to wait before its samples and after them: it has threads of its own, which spin for a
    while, as those of torch do."""

    @property
    def version(self) -> str | None:
        """As installed, or None where it is not."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None

    def absent(self) -> str:
        """Why it cannot be measured here; "" if it can."""
        if self.version is None or importlib.util.find_spec(self.module) is None:
            return f"{self.distribution} is not installed: run `make peers`"
        return ""


@functools.cache
def all_peers() -> dict[str, Peer]:
    """Name → peer, one for each file of the folder."""
    peers: tuple[Peer, ...] = discover(sys.modules[__package__], "PEER")
    return {peer.name: peer for peer in peers}


def copy_linear(linear: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    """A linear layer of its own, in `dtype`, for packages that change what they are given."""
    made = nn.Linear(
        linear.in_features, linear.out_features, linear.bias is not None, device="meta", dtype=dtype
    )
    made.weight = nn.Parameter(linear.weight.detach().to(dtype, copy=True), requires_grad=False)
    if linear.bias is not None:
        made.bias = nn.Parameter(linear.bias.detach().to(dtype, copy=True), requires_grad=False)
    return made.eval()


def group_codes(weight: Tensor, bits: int, group: int) -> tuple[Tensor, Tensor]:
    """Symmetric codes, round to nearest, as every package is given them that takes codes.

    Args:
        weight: (N, K) float32, K a multiple of `group`.
        bits: 4 or 8.
        group: weights along K that share a scale.

    Returns:
        Codes (N, K) int8 from −2^(bits−1) to 2^(bits−1) − 1, and scales (N, K / group) float32.
    """
    top = 2 ** (bits - 1) - 1
    rows, columns = weight.shape
    if columns % group:
        raise ValueError(f"K = {columns} is not a multiple of the group of {group}")
    blocks = weight.detach().float().reshape(rows, columns // group, group)
    scale = (blocks.abs().amax(-1, keepdim=True) / top).clamp_min(torch.finfo(torch.float32).tiny)
    codes = (blocks / scale).round().clamp(-top - 1, top).to(torch.int8)
    return codes.reshape(rows, columns), scale.squeeze(-1)
