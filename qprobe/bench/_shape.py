"""Measures one shape: every candidate verified, then all timed in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qprobe.bench._bed import Bed, find_bed
from qprobe.bench._candidates import Candidate, Stock, list_candidates
from qprobe.bench._verify import check_layer, relative_error
from qprobe.documents.profile import Measurement, Shape, Skipped
from qprobe.errors import UnavailableError
from qprobe.timing import yardstick
from qprobe.timing.interleave import Task, time_calmly

BUDGET_S = 2.0
"""Seconds of timing for a shape; slow shapes take more, for the least number of samples."""
MIN_SAMPLES = 7
MAX_COPIES = 64
ASSUMED_BYTES = 4 * 2**30
"""Of memory that can be taken, where the system does not tell."""
WARM_M = 256
"""From here on, a matrix product is bound by arithmetic: two copies of the weight will do."""
SHARED = "shared input"


@dataclass(frozen=True)
class MeasuredShape:
    """All cells of a shape, and the speed of the machine that their seconds are at."""

    measurements: list[Measurement]
    skipped: list[Skipped]
    yardstick_s: float


def measure_shape(shape: Shape, device: str) -> MeasuredShape:
    """Time y = x·Wᵀ + b by every candidate; touches the clock and the device.

    Data are random with outlier features, from a fixed seed. Weights are rotated over copies that
    together exceed the last-level cache, inputs over two.
    """
    bed = find_bed(device)
    with bed.active(), torch.no_grad():
        return _measure(shape, bed)


def _measure(shape: Shape, bed: Bed) -> MeasuredShape:
    generator = torch.Generator(bed.device).manual_seed(0)
    linears = [_random_linear(shape, generator) for _ in range(_count_copies(shape, bed))]
    outliers = 1 + 20 * (torch.rand(shape.k, generator=generator, device=bed.device) < 0.01)
    inputs = [_normal(shape.m, shape.k, generator) * outliers for _ in range(2)]
    exact = inputs[0].double() @ linears[0].weight.double().T + linears[0].bias.double()

    stock = Stock()
    errors: dict[Candidate, float] = {}
    host: dict[Candidate, float | None] = {}
    skipped: list[Skipped] = []
    tasks: dict[str, Task] = {yardstick.NAME: bed.yardstick()}
    for candidate in list_candidates(shape, bed.name, bed.compute_dtypes):
        words = candidate.objection
        if not words:
            try:
                layers = [candidate.make(linear, stock) for linear in linears]
                xs = [x.to(candidate.dtype) for x in inputs]
                y = layers[0](xs[0])
                words = check_layer(candidate, layers[0], xs[0], y)
                if not words:
                    timing = bed.time_layers(layers, xs)
            except (RuntimeError, UnavailableError) as refusal:
                # An operator of torch's, or a compiler, says only when it runs that it cannot.
                words = f"it does not run here: {' '.join(str(refusal).split()):.300}"
        if words:
            skipped.append(Skipped(cell=candidate.cell, reason=words))
            continue
        errors[candidate], host[candidate] = relative_error(exact, y), timing.host_s
        tasks[_name(candidate)] = timing.task
        if bed.shares_input and candidate.kernel.input != "float":
            tasks[_name(candidate) + SHARED] = _shared_task(layers, xs[0])
    timed = time_calmly(tasks, budget_s=BUDGET_S, min_samples=MIN_SAMPLES)

    measurements = []
    for candidate, error in errors.items():
        samples = timed[_name(candidate)]
        shared = timed.get(_name(candidate) + SHARED)
        measurements.append(
            Measurement(
                cell=candidate.cell,
                median_s=samples.median,
                p20_s=samples.quantile(0.2),
                p80_s=samples.quantile(0.8),
                samples=len(samples.seconds),
                shared_input_s=None if shared is None else shared.median,
                host_s=host[candidate],
                relative_error=error,
            )
        )
    return MeasuredShape(measurements, skipped, timed[yardstick.NAME].median)


def _random_linear(shape: Shape, generator: torch.Generator) -> nn.Linear:
    linear = nn.Linear(shape.k, shape.n, device="meta")
    weight = _normal(shape.n, shape.k, generator) / math.sqrt(shape.k)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(_normal(1, shape.n, generator)[0], requires_grad=False)
    return linear


def _normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, columns, generator=generator, device=generator.device)


def _count_copies(shape: Shape, bed: Bed) -> int:
    if shape.m >= WARM_M:
        return 2
    weights = shape.n * shape.k
    memory = (bed.memory_bytes() or ASSUMED_BYTES) // 4
    memory = memory if bed.most_bytes is None else min(memory, bed.most_bytes)
    affordable = int(memory / (weights * bed.held_bytes))
    wanted = math.ceil(2 * bed.cache_bytes() / (weights * bed.least_bytes))
    return max(2, min(MAX_COPIES, affordable, wanted))


def _name(candidate: Candidate) -> str:
    cell = candidate.cell
    return f"{cell.scheme} {cell.kernel} {cell.activation_dtype} "


def _shared_task(layers: list[nn.Linear], x: Tensor) -> Task:
    """The layers on an input that another layer has quantized."""
    count, prepared = len(layers), layers[-1]

    def run_again(counter: int) -> None:
        layers[counter % count](x)

    return Task(run_again, lambda: prepared(x))
