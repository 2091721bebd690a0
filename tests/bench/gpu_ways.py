"""Every way to compute a layer on a GPU that is timed, ours, torch's and the peers', and the int8 products alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from qprobe.bench import _shape
from qprobe.bench._bed import Gpu
from qprobe.bench._candidates import Candidate, Stock, list_candidates
from qprobe.documents.base import FloatDtype
from qprobe.documents.profile import Shape
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.layers._verification import check_layer, relative_error, some_rows
from tests.bench import gpu_products
from tests.bench.gpu_marks import find_unit, is_large
from tests.bench.gpu_peers import WAYS, GpuWay
from tests.bench.gpu_report import GpuRow, Kind

DTYPES: tuple[FloatDtype, ...] = ("bfloat16", "float16")
CAST = {"bfloat16": "BF16", "float16": "FP16"}
GROSS = 0.3
"""A peer that is further from the exact product than this computes something else."""
TORCH = "cuda.int_mm"


@dataclass(frozen=True)
class Way:
    """One row of a cell, and how to come by it."""

    row: GpuRow
    dtype: torch.dtype
    """Of x."""
    make: Callable[[], Sequence[Any]]
    """Equal layers to rotate over, or products."""
    check: Callable[[Any, Tensor, Tensor], str]
    """What is wrong with y (M, N) of the first of them for x (M, K); "" if nothing is."""
    trial: Callable[[], AbstractContextManager[object]] = nullcontext
    """What to run it in for the first time."""
    prepare: Callable[[Tensor], Any] = lambda x: x
    """What it is given for x, made before the time that counts."""
    is_product: bool = False
    """Whether it is the product alone, without what quantizes x."""

    @property
    def name(self) -> str:
        """Unlike that of any other way of the cell."""
        row = self.row
        return f"{row.label} {row.scheme} {row.dtype}" + " alone" * self.is_product


def list_ways(
    shape: Shape, bed: Gpu, linears: list[nn.Linear], schemes: Sequence[str]
) -> Iterator[Way]:
    """All that can run here, for what is stored under `schemes` and for the type of x itself."""
    stock = Stock()
    for candidate in list_candidates(shape, bed.name, DTYPES):
        cell = candidate.cell
        is_cast = cell.scheme == CAST[cell.activation_dtype]
        if candidate.objection or (not is_cast and cell.scheme not in schemes):
            continue
        if candidate.scheme.is_quantized and candidate.kernel.id == "reference":
            continue

        def make(candidate: Candidate = candidate) -> list[nn.Linear]:
            return _shape.make_copies(candidate, linears, stock, bed)

        def check(layer: nn.Linear, x: Tensor, y: Tensor, candidate: Candidate = candidate) -> str:
            return check_layer(candidate.kernel, layer, x, y)

        kind, size = _kind(candidate), candidate.stored_bytes
        row = _row(kind, candidate.kernel.id, cell.scheme, cell.activation_dtype, size)
        way = Way(row, candidate.dtype, make, check, candidate.trial)
        yield way
        if candidate.kernel.input == gpu_products.INPUT and is_large(shape.m, shape.n, shape.k):
            yield from _products(candidate, way)
    yield from _peers(shape, bed, linears, schemes)


def _products(candidate: Candidate, way: Way) -> Iterator[Way]:
    """Of kernels that are held against a peak, with scales, bias and type; of torch, the sums once."""
    row, kernel = way.row, candidate.kernel
    if row.kind == "bundled" and find_unit(row.label):

        def make() -> list[gpu_products.Product]:
            return [gpu_products.Product(layer, kernel, way.dtype) for layer in way.make()]

        def check(product: gpu_products.Product, x: Tensor, y: Tensor) -> str:
            return check_layer(kernel, product.layer, x, y)

        yield Way(row, way.dtype, make, check, way.trial, gpu_products.quantize, True)
    elif row.label == TORCH and row.dtype == DTYPES[0]:

        def make_sums() -> list[gpu_products.Sums]:
            return [gpu_products.Sums(layer._packed[0]) for layer in way.make()]

        row = _row("torch", "torch._int_mm", row.scheme, "int32", row.weight_bytes)
        checks, prepare = gpu_products.check_sums, gpu_products.quantize
        yield Way(row, way.dtype, make_sums, checks, way.trial, prepare, True)


def _peers(
    shape: Shape, bed: Gpu, linears: list[nn.Linear], schemes: Sequence[str]
) -> Iterator[Way]:
    for way in WAYS:
        if not way.is_installed or way.scheme not in schemes:
            continue
        for name in DTYPES:
            dtype, size = (
                getattr(torch, name),
                SCHEMES[way.scheme].weight_bytes(shape.n, shape.k, name),
            )
            row = _row("peer", way.label, way.scheme, name, size)
            make = partial(_make_peers, way, dtype, shape, bed, linears)
            yield Way(row, dtype, make, _is_gross(linears[0]))


def _make_peers(
    way: GpuWay, dtype: torch.dtype, shape: Shape, bed: Gpu, linears: list[nn.Linear]
) -> list[Callable[[Tensor], Tensor]]:
    stored = SCHEMES[way.scheme].weight_bytes(shape.n, shape.k, "bfloat16")
    copies = _shape._count_copies(shape, stored, bed)
    return [way.make(linears[c % len(linears)], dtype) for c in range(copies)]


def _kind(candidate: Candidate) -> Kind:
    if candidate.kernel.id == "reference":
        return "baseline"
    return "bundled" if candidate.kernel.id.removeprefix("cuda.") in all_sources() else "torch"


def _row(kind: Kind, label: str, scheme: str, dtype: str, size: int) -> GpuRow:
    return GpuRow(
        kind=kind, label=label, scheme=scheme, dtype=dtype, status="timed", weight_bytes=size
    )


def multiply_exactly(x: Tensor, linear: nn.Linear) -> Tensor:
    """In float64, which many cards multiply slowly: for some rows."""
    return x.double() @ linear.weight.double().T + linear.bias.double()


def _is_gross(linear: nn.Linear) -> Callable[[nn.Linear, Tensor, Tensor], str]:
    def check(_layer: nn.Linear, x: Tensor, y: Tensor) -> str:
        rows = some_rows(len(x))
        error = relative_error(multiply_exactly(x[rows], linear), y[rows])
        return "" if error < GROSS else f"wrong numbers: relative error {error:.2g}"

    return check
