"""Everything that computes one layer on a GPU, verified, then timed in turn by graph replay, cold in L2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from qprobe.bench import _shape
from qprobe.bench._bed import Gpu
from qprobe.bench._candidates import Candidate, Stock, list_candidates
from qprobe.bench._verify import _some_rows, check_layer, relative_error
from qprobe.documents.base import FloatDtype
from qprobe.documents.profile import Shape
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import CrashError
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.timing.interleave import Task, time_interleaved
from tests.bench.gpu_peers import WAYS
from tests.bench.gpu_report import GpuCell, GpuRow, Kind

DTYPES: tuple[FloatDtype, ...] = ("bfloat16", "float16")
MIN_SAMPLES = 9
CAST = {"bfloat16": "BF16", "float16": "FP16"}
GROSS = 0.3
"""A peer that is further from the exact product than this computes something else."""


def measure_cell(shape: Shape, bed: Gpu, budget_s: float, schemes: Sequence[str]) -> GpuCell:
    """All ways for one shape; those that fail are kept with the reason."""
    with bed.active(), torch.no_grad():
        return _measure(shape, bed, budget_s, schemes)


def _measure(shape: Shape, bed: Gpu, budget_s: float, schemes: Sequence[str]) -> GpuCell:
    generator = torch.Generator(bed.device).manual_seed(0)
    exact_bytes = shape.n * shape.k * torch.float32.itemsize
    count = _shape._count_copies(shape, exact_bytes, bed)
    linears = [_shape._random_linear(shape, generator) for _ in range(count)]
    inputs = [torch.randn(shape.m, shape.k, generator=generator, device=bed.device) for _ in "ab"]
    rows_checked = _some_rows(shape.m)
    exact = _multiply_exactly(inputs[0][rows_checked], linears[0])
    rows: dict[str, GpuRow] = {}
    tasks: dict[str, Task] = {}
    for row, make, check, trial in _ways(shape, bed, linears, schemes):
        name = f"{row.label} {row.scheme} {row.dtype}"
        dtype = getattr(torch, row.dtype)
        try:
            layers = make()
            xs = [x.to(dtype) for x in inputs]
            with trial():
                y = layers[0](xs[0])
                words = check(layers[0], xs[0], y)
                timing = None if words else bed.time_layers(layers, xs)
            if timing is None:
                rows[name] = row.model_copy(update={"status": "failed", "reason": words})
                continue
        except CrashError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
            rows[name] = row.model_copy(update={"status": "failed", "reason": reason})
            continue
        found = {"error": relative_error(exact, y[rows_checked]), "host_s": timing.host_s}
        rows[name], tasks[name] = row.model_copy(update=found), timing.task
    timed = time_interleaved(tasks, budget_s=budget_s, min_samples=MIN_SAMPLES) if tasks else {}
    for name, samples in timed.items():
        rows[name] = rows[name].model_copy(update={"seconds": samples.seconds})
    return GpuCell(m=shape.m, n=shape.n, k=shape.k, copies=count, rows=tuple(rows.values()))


Check = Callable[[nn.Linear, Tensor, Tensor], str]
Trial = Callable[[], AbstractContextManager[object]]
Made = tuple[GpuRow, Callable[[], list[nn.Linear]], Check, Trial]


def _ways(
    shape: Shape, bed: Gpu, linears: list[nn.Linear], schemes: Sequence[str]
) -> Iterator[Made]:
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
            return check_layer(candidate, layer, x, y)

        size = candidate.stored_bytes
        kind = _kind(candidate)
        row = _row(kind, candidate.kernel.id, cell.scheme, cell.activation_dtype, size)
        yield row, make, check, candidate.trial
    for way in WAYS:
        if not way.is_installed or way.scheme not in schemes:
            continue
        for name in DTYPES:
            dtype = getattr(torch, name)

            def make_peer(way=way, dtype=dtype) -> list[nn.Linear]:  # type: ignore[no-untyped-def]
                stored = SCHEMES[way.scheme].weight_bytes(shape.n, shape.k, "bfloat16")
                copies = _shape._count_copies(shape, stored, bed)
                return [way.make(linears[c % len(linears)], dtype) for c in range(copies)]

            size = SCHEMES[way.scheme].weight_bytes(shape.n, shape.k, name)
            row = _row("peer", way.label, way.scheme, name, size)
            yield row, make_peer, _is_gross(linears[0]), nullcontext


def _kind(candidate: Candidate) -> Kind:
    if candidate.kernel.id == "reference":
        return "baseline"
    return "bundled" if candidate.kernel.id.removeprefix("cuda.") in all_sources() else "torch"


def _row(kind: Kind, label: str, scheme: str, dtype: str, size: int) -> GpuRow:
    return GpuRow(
        kind=kind, label=label, scheme=scheme, dtype=dtype, status="timed", weight_bytes=size
    )


def _multiply_exactly(x: Tensor, linear: nn.Linear) -> Tensor:
    """In float64, which many cards multiply slowly: for some rows."""
    return x.double() @ linear.weight.double().T + linear.bias.double()


def _is_gross(linear: nn.Linear) -> Check:
    def check(_layer: nn.Linear, x: Tensor, y: Tensor) -> str:
        rows = _some_rows(len(x))
        error = relative_error(_multiply_exactly(x[rows], linear), y[rows])
        return "" if error < GROSS else f"wrong numbers: relative error {error:.2g}"

    return check
