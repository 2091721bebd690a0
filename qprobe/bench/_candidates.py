"""Everything that a shape is measured with: the layers that a plan could install for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from qprobe.documents.base import FloatDtype
from qprobe.documents.plan import KernelRange
from qprobe.documents.profile import Cell, Shape
from qprobe.documents.scheme import SCHEMES, CastWeights, Scheme
from qprobe.kernels._kernel import Kernel, LayerSpec
from qprobe.kernels.registry import choose_algorithm, kernels_for
from qprobe.layers import make_layer

COMPUTE_DTYPES: tuple[FloatDtype, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Candidate:
    """One scheme by one kernel at one activation type; `objection` says why it cannot run."""

    cell: Cell
    scheme: Scheme
    algorithm: str
    kernel: Kernel
    objection: str

    @property
    def dtype(self) -> torch.dtype:
        """The type of the activations."""
        dtype: torch.dtype = getattr(torch, self.cell.activation_dtype)
        return dtype

    def make(self, linear: nn.Linear) -> nn.Linear:
        """The very layer that a plan would install."""
        kernels = (KernelRange(kernel=self.kernel.id, m_min=1, m_max=None),)
        return make_layer(linear, self.scheme, self.algorithm, kernels, self.dtype)


def list_candidates(shape: Shape, device: str) -> Iterator[Candidate]:
    """Every candidate for a shape, those that cannot run here with the reason."""
    for dtype in COMPUTE_DTYPES:
        for scheme in SCHEMES.values():
            if scheme.weights is None and dtype != "float32":
                continue  # NONE in a narrower type is the cast of that type.
            if (
                isinstance(scheme.weights, CastWeights)
                and scheme.weights.dtype not in COMPUTE_DTYPES
            ):
                continue
            for kernel in kernels_for(device):
                if scheme.name in kernel.schemes:
                    yield _candidate(shape, scheme, kernel, dtype, device)


def _candidate(
    shape: Shape, scheme: Scheme, kernel: Kernel, dtype: FloatDtype, device: str
) -> Candidate:
    algorithm = choose_algorithm(scheme, kernel)
    code = scheme.algorithms[algorithm]
    spec = LayerSpec(scheme.name, shape.n, shape.k, getattr(torch, dtype), code, device)
    cell = Cell(scheme=scheme.name, kernel=kernel.id, activation_dtype=dtype, shape=shape)
    return Candidate(cell, scheme, algorithm, kernel, kernel.objection(spec))
