"""A whole model by one way of a peer: every linear but the head and the pooler replaced."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from qprobe.checkpoint.casting import cast_module
from qprobe.checkpoint.names import resolve_modules
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Model
from tests.bench.peers._peer import Peer, Way

KEPT_KINDS = frozenset({"head", "pooler"})
"""As the packages' own integrations leave them."""


@dataclass(frozen=True)
class Conversion:
    """One way of a peer with one type of activations, for whole models."""

    peer: Peer
    way: Way
    dtype: FloatDtype

    @property
    def key(self) -> str:
        """What identifies it among all variants."""
        return f"{self.peer.name}: {self.way.label}, {self.dtype}"

    def apply(self, stored: nn.Module, tensors: Sequence[str]) -> nn.Module:
        """A converted copy of the model; raises whatever the package raises where it cannot."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        module = copy.deepcopy(stored)
        made: dict[str, nn.Module] = {}
        for path in resolve_modules(module, tensors).values():
            linear = module.get_submodule(path)
            if not isinstance(linear, nn.Linear):
                raise TypeError(f"{path} is a {type(linear).__name__}")
            layer = self.way.make(linear, dtype)
            if not isinstance(layer, nn.Module):
                raise TypeError(f"{self.way.label} gives no module")
            made[path] = layer
            module.set_submodule(path, nn.Identity())
        # Without the new layers: their scales keep their own types.
        cast_module(module, dtype)
        for path, layer in made.items():
            module.set_submodule(path, layer)
        return module.eval()


def conversions_of(peer: Peer) -> Iterator[Conversion]:
    """The ways of a peer that whole models are converted with."""
    for way in peer.ways:
        if way.in_models:
            yield from (Conversion(peer, way, dtype) for dtype in way.dtypes)


def converted_tensors(model: Model) -> list[str]:
    """The tensors of the linears that are replaced."""
    return [linear.tensor for linear in model.linears if linear.kind not in KEPT_KINDS]
