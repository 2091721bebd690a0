"""Measures one shape: every candidate verified, then all timed in turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qprobe.bench._candidates import Candidate, Stock, list_candidates
from qprobe.bench._verify import check_layer, relative_error
from qprobe.documents.profile import Measurement, Shape, Skipped
from qprobe.kernels.device import available_memory_bytes, last_level_cache_bytes
from qprobe.timing import yardstick
from qprobe.timing.interleave import Task, time_calmly

BUDGET_S = 2.0
"""Seconds of timing for a shape; slow shapes take more, for the least number of samples."""
MIN_SAMPLES = 7
MAX_COPIES = 64
MAX_BYTES = 96 * 2**20
"""Of a candidate's copies, beyond the least number."""
SHARE_OF_MEMORY = 1 / 128
"""What a candidate's copies may take of what is free; there are some thirty candidates."""
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
    together exceed the last-level cache, or over as many as a small model has layers; inputs over two.
    """
    generator = torch.Generator().manual_seed(0)
    exact_bytes = shape.n * shape.k * torch.float32.itemsize
    linears = [_random_linear(shape, generator) for _ in range(_count_copies(shape.m, exact_bytes))]
    outliers = 1 + 20 * (torch.rand(shape.k, generator=generator) < 0.01)
    inputs = [torch.randn(shape.m, shape.k, generator=generator) * outliers for _ in range(2)]
    exact = inputs[0].double() @ linears[0].weight.double().T + linears[0].bias.double()

    stock = Stock()
    errors: dict[Candidate, float] = {}
    skipped: list[Skipped] = []
    tasks: dict[str, Task] = {yardstick.NAME: yardstick.make_yardstick()}
    with torch.no_grad():
        for candidate in list_candidates(shape, device):
            if candidate.objection:
                skipped.append(Skipped(cell=candidate.cell, reason=candidate.objection))
                continue
            layers = [
                candidate.make(linears[copy % len(linears)], stock, copy)
                for copy in range(_count_copies(shape.m, candidate.stored_bytes))
            ]
            xs = [x.to(candidate.dtype) for x in inputs]
            y = layers[0](xs[0])
            if words := check_layer(candidate, layers[0], xs[0], y):
                skipped.append(Skipped(cell=candidate.cell, reason=words))
                continue
            errors[candidate] = relative_error(exact, y)
            tasks |= _tasks(candidate, layers, xs)
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
                relative_error=error,
            )
        )
    return MeasuredShape(measurements, skipped, timed[yardstick.NAME].median)


def _random_linear(shape: Shape, generator: torch.Generator) -> nn.Linear:
    linear = nn.Linear(shape.k, shape.n, device="meta")
    weight = torch.randn(shape.n, shape.k, generator=generator) / math.sqrt(shape.k)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(torch.randn(shape.n, generator=generator), requires_grad=False)
    return linear


def _count_copies(m: int, stored_bytes: int) -> int:
    """How many copies of a weight a candidate rotates over at M."""
    if m >= WARM_M:
        return 2
    cache = last_level_cache_bytes() or 32 * 2**20
    free = available_memory_bytes()
    most = MAX_BYTES if free is None else min(MAX_BYTES, int(free * SHARE_OF_MEMORY))
    wanted = min(most // stored_bytes, math.ceil(2 * cache / stored_bytes))
    return max(2, min(MAX_COPIES, wanted))


def _name(candidate: Candidate) -> str:
    cell = candidate.cell
    return f"{cell.scheme} {cell.kernel} {cell.activation_dtype} "


def _tasks(candidate: Candidate, layers: list[nn.Linear], xs: list[Tensor]) -> dict[str, Task]:
    """The layer on inputs that it has not seen, and on one that another layer has quantized."""
    count = len(layers)

    def run(counter: int) -> None:
        layers[counter % count](xs[counter % 2])

    def run_again(counter: int) -> None:
        layers[counter % count](xs[0])

    tasks = {_name(candidate): Task(run, warm_up=count)}
    if candidate.kernel.input != "float":
        prepared = layers[-1]
        tasks[_name(candidate) + SHARED] = Task(run_again, lambda: prepared(xs[0]), warm_up=count)
    return tasks
