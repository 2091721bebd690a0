"""Everything that computes one layer on a GPU, verified, then timed in turn by graph replay, cold in L2."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qprobe.bench import _shape
from qprobe.bench._bed import Gpu
from qprobe.documents.profile import Shape
from qprobe.errors import CrashError
from qprobe.layers._verification import random_linear, relative_error, some_rows
from qprobe.timing.interleave import Task, time_interleaved
from tests.bench.gpu_report import GpuCell, GpuRow
from tests.bench.gpu_ways import list_ways, multiply_exactly

MIN_SAMPLES = 9


def measure_cell(shape: Shape, bed: Gpu, budget_s: float, schemes: Sequence[str]) -> GpuCell:
    """All ways for one shape; those that fail are kept with the reason."""
    with bed.active(), torch.no_grad():
        return _measure(shape, bed, budget_s, schemes)


def _measure(shape: Shape, bed: Gpu, budget_s: float, schemes: Sequence[str]) -> GpuCell:
    generator = torch.Generator(bed.device).manual_seed(0)
    exact_bytes = shape.n * shape.k * torch.float32.itemsize
    count = _shape._count_copies(shape, exact_bytes, bed)
    linears = [random_linear(shape.n, shape.k, generator) for _ in range(count)]
    inputs = [torch.randn(shape.m, shape.k, generator=generator, device=bed.device) for _ in "ab"]
    rows_checked = some_rows(shape.m)
    exact = multiply_exactly(inputs[0][rows_checked], linears[0])
    rows: dict[str, GpuRow] = {}
    products: set[str] = set()
    tasks: dict[str, Task] = {}
    for way in list_ways(shape, bed, linears, schemes):
        row, name = way.row, way.name
        if way.is_product:
            products.add(name)
        try:
            layers = way.make()
            xs = [x.to(way.dtype) for x in inputs]
            given = [way.prepare(x) for x in xs]
            with way.trial():
                y = layers[0](given[0])
                words = way.check(layers[0], xs[0], y)
                timing = None if words else bed.time_layers(layers, given)
            if timing is None:
                rows[name] = row.model_copy(update={"status": "failed", "reason": words})
                continue
        except CrashError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split()):.200}"
            rows[name] = row.model_copy(update={"status": "failed", "reason": reason})
            continue
        off = relative_error(exact, y[rows_checked]) if y.is_floating_point() else None
        found = {"error": off, "host_s": timing.host_s}
        rows[name], tasks[name] = row.model_copy(update=found), timing.task
    timed = time_interleaved(tasks, budget_s=budget_s, min_samples=MIN_SAMPLES) if tasks else {}
    for name, samples in timed.items():
        rows[name] = rows[name].model_copy(update={"seconds": samples.seconds})
    return GpuCell(
        m=shape.m,
        n=shape.n,
        k=shape.k,
        copies=count,
        rows=tuple(row for name, row in rows.items() if name not in products),
        products=tuple(row for name, row in rows.items() if name in products),
    )
