"""Everything that a shape is measured with: the layers that a plan could install for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from qprobe.documents.base import FloatDtype
from qprobe.documents.plan import KernelRange
from qprobe.documents.profile import REFERENCE, Cell, Shape
from qprobe.documents.scheme import SCHEMES, CastWeights, Scheme
from qprobe.kernels._kernel import Kernel, LayerSpec
from qprobe.kernels.registry import choose_algorithm, kernels_for
from qprobe.layers import make_layer
from qprobe.quantize.scheme import quantize_weight

COMPUTE_DTYPES: tuple[FloatDtype, ...] = ("float32", "bfloat16")
"""On the processor."""


@dataclass(frozen=True)
class Candidate:
    """One scheme by one kernel at one activation type; `objection` says why it cannot run."""

    cell: Cell
    scheme: Scheme
    algorithm: str
    kernel: Kernel
    spec: LayerSpec
    objection: str

    @property
    def dtype(self) -> torch.dtype:
        """The type of the activations."""
        dtype: torch.dtype = getattr(torch, self.cell.activation_dtype)
        return dtype

    def trial(self) -> AbstractContextManager[None]:
        """What to run a layer in for the first time."""
        return self.kernel.trial(self.spec)

    @property
    def stored_bytes(self) -> int:
        """Of the weight of one layer."""
        shape = self.cell.shape
        return self.scheme.weight_bytes(shape.n, shape.k, self.cell.activation_dtype)

    def make(self, linear: nn.Linear, stock: Stock, copy: int = 0) -> nn.Linear:
        """The very layer that a plan would install, from the stock's tensors if it is quantized.

        Layers of the same linear have tensors of their own if they are different copies.
        """
        kernels = (KernelRange(kernel=self.kernel.id, m_min=1, m_max=None),)
        tensors = stock.take(linear, self.scheme, self.algorithm, copy)
        return make_layer(linear, self.scheme, self.algorithm, kernels, self.dtype, tensors)


class Stock:
    """Weights quantized for the candidates of a shape, once for each scheme.

    How they were rounded makes no difference to how fast they are multiplied. Kernels that compute
    from the same tensors share them.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], dict[str, Tensor]] = {}
        self._taken: dict[tuple[str, str, int, int], dict[str, Tensor]] = {}

    def take(
        self, linear: nn.Linear, scheme: Scheme, algorithm: str, copy: int
    ) -> dict[str, Tensor] | None:
        """The tensors of a copy of this linear; None where nothing is quantized."""
        if not scheme.is_quantized:
            return None
        key = scheme.name, scheme.quick_algorithm(algorithm)
        if key not in self._made:
            self._made[key] = quantize_weight(linear.weight, scheme, key[1])
        place = (*key, id(linear), copy)
        if place not in self._taken:
            is_first = not any(taken[:2] == key for taken in self._taken)
            made = self._made[key]
            self._taken[place] = made if is_first else {n: t.clone() for n, t in made.items()}
        return self._taken[place]


def list_candidates(
    shape: Shape, device: str, dtypes: Sequence[FloatDtype] = COMPUTE_DTYPES
) -> Iterator[Candidate]:
    """Every candidate for a shape, those that cannot run here with the reason."""
    for dtype in dtypes:
        for scheme in SCHEMES.values():
            if scheme.weights is None and dtype != "float32":
                continue  # NONE in a narrower type is the cast of that type.
            if isinstance(scheme.weights, CastWeights) and scheme.weights.dtype not in dtypes:
                continue
            yield from _kernels_of(shape, scheme, dtype, device)


def _kernels_of(
    shape: Shape, scheme: Scheme, dtype: FloatDtype, device: str
) -> Iterator[Candidate]:
    """A scheme by each of its kernels; the reference, which comes last, where it may be of use.

    It dequantizes the whole weight at each call: any kernel of the scheme does less.
    """
    useful = ""
    for kernel in kernels_for(device):
        if scheme.name not in kernel.schemes:
            continue
        found = _candidate(shape, scheme, kernel, dtype, device)
        if kernel.id == REFERENCE and useful and not found.objection:
            found = replace(found, objection=f"not timed: {useful} does less for the same")
        if scheme.is_quantized and not found.objection and kernel.input == "float":
            useful = kernel.id
        yield found


def _candidate(
    shape: Shape, scheme: Scheme, kernel: Kernel, dtype: FloatDtype, device: str
) -> Candidate:
    algorithm = choose_algorithm(scheme, kernel)
    code = scheme.algorithms[algorithm]
    spec = LayerSpec(scheme.name, shape.n, shape.k, getattr(torch, dtype), code, device)
    cell = Cell(scheme=scheme.name, kernel=kernel.id, activation_dtype=dtype, shape=shape)
    objection = kernel.objection(spec)
    if not objection and kernel.max_rows is not None and shape.m > kernel.max_rows:
        objection = f"{kernel.id} is meant for M up to {kernel.max_rows}"
    return Candidate(cell, scheme, algorithm, kernel, spec, objection)
