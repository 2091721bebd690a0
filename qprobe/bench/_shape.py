"""Measures one shape: every candidate verified, then all timed in turn."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qprobe.bench._bed import SETTLE_S, Bed, find_bed
from qprobe.bench._candidates import Candidate, Stock, list_candidates
from qprobe.documents.profile import Measurement, Shape, Skipped
from qprobe.errors import UnavailableError
from qprobe.layers._coded import CodedLinear
from qprobe.layers._sharing import SharedInput
from qprobe.layers._verification import (
    check_layer,
    random_linear,
    random_outliers,
    random_rows,
    relative_error,
)
from qprobe.timing import yardstick
from qprobe.timing.interleave import Task, time_calmly

BUDGET_S = 2.0
"""Seconds of timing for a shape; slow shapes take more, for the least number of samples."""
MIN_SAMPLES = 7
MAX_COPIES = 64
COLD = 2
"""Weights of so many times the last-level cache have left it when their turn comes again."""
SHARE_OF_MEMORY = 1 / 128
"""What a candidate's copies may take of what is free; there are some thirty candidates."""
WARM_M = 256
"""From here on, a matrix product is bound by arithmetic: two copies of the weight will do."""
FOLLOWING = "following"


@dataclass(frozen=True)
class MeasuredShape:
    """All cells of a shape, and the speed of the machine that their seconds are at."""

    measurements: list[Measurement]
    skipped: list[Skipped]
    yardstick_s: float


def measure_shape(shape: Shape, device: str, weights: int | None = None) -> MeasuredShape:
    """Time y = x·Wᵀ + b by every candidate; touches the clock and the device.

    Data are random with outlier features, from a fixed seed. Weights are rotated over copies that
    together exceed the last-level cache, or have as many elements as a small model's (`weights`), or
    are as many as a small model has layers; inputs over two.
    """
    bed = find_bed(device)
    with bed.active(), torch.no_grad():
        return _measure(shape, bed, math.inf if weights is None else weights)


def _measure(shape: Shape, bed: Bed, weights: float) -> MeasuredShape:
    generator = torch.Generator(bed.device).manual_seed(0)
    copies = _count_copies(shape, shape.n * shape.k * torch.float32.itemsize, bed, weights)
    linears = [random_linear(shape.n, shape.k, generator) for _ in range(copies)]
    outliers = random_outliers(shape.k, generator)
    inputs = [random_rows(shape.m, shape.k, generator) * outliers for _ in range(2)]
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
                layers = make_copies(candidate, linears, stock, bed, weights)
                xs = [x.to(candidate.dtype) for x in inputs]
                with candidate.trial():
                    y = layers[0](xs[0])
                    words = check_layer(candidate.kernel, layers[0], xs[0], y)
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
        if bed.follows and (candidate.kernel.input != "float" or shape.m < WARM_M):
            tasks[_name(candidate) + FOLLOWING] = _following_task(layers, xs[0])
    timed = time_calmly(tasks, budget_s=BUDGET_S, min_samples=MIN_SAMPLES)

    measurements = []
    for candidate, error in errors.items():
        samples = timed[_name(candidate)]
        following = timed.get(_name(candidate) + FOLLOWING)
        measurements.append(
            Measurement(
                cell=candidate.cell,
                median_s=samples.median,
                p20_s=samples.quantile(0.2),
                p80_s=samples.quantile(0.8),
                samples=len(samples.seconds),
                shared_input_s=None if following is None else following.median,
                host_s=host[candidate],
                relative_error=error,
            )
        )
    return MeasuredShape(measurements, skipped, timed[yardstick.NAME].median)


def make_copies(
    candidate: Candidate,
    linears: list[nn.Linear],
    stock: Stock,
    bed: Bed,
    weights: float = math.inf,
) -> list[nn.Linear]:
    """The layers of a candidate to rotate over; of `weights` elements together at most."""
    copies = _count_copies(candidate.cell.shape, candidate.stored_bytes, bed, weights)
    return [candidate.make(linears[c % len(linears)], stock, c) for c in range(copies)]


def in_caches(weights: int | None, device: str) -> int | None:
    """The number of a model's weights if they may stay in the caches from one pass to the next, at 4 bits; else None."""
    if weights is None or weights // 2 >= COLD * find_bed(device).cache_bytes():
        return None
    return weights


def _count_copies(shape: Shape, stored_bytes: int, bed: Bed, weights: float = math.inf) -> int:
    """How many copies of a weight a candidate rotates over."""
    if shape.m >= WARM_M:
        return 2
    free = bed.memory_bytes()
    most = math.inf if bed.most_bytes is None else bed.most_bytes
    most = most if free is None else min(most, free * SHARE_OF_MEMORY)
    cold = math.ceil(COLD * bed.cache_bytes() / stored_bytes)
    there = weights / (shape.n * shape.k)
    return max(2, int(min(MAX_COPIES, most / stored_bytes, cold, there)))


def _name(candidate: Candidate) -> str:
    cell = candidate.cell
    return f"{cell.scheme} {cell.kernel} {cell.activation_dtype} "


def _following_task(layers: list[nn.Linear], x: Tensor) -> Task:
    """Each layer right after another of its group, which has quantized their input if it had to be."""
    count, prepared, group = len(layers), copy.copy(layers[-1]), SharedInput()
    for layer in (prepared, *layers):
        if isinstance(layer, CodedLinear):
            layer.shared_input = group

    def run_again(counter: int) -> None:
        layers[counter % count](x)

    return Task(run_again, lambda: prepared(x), warm_up=count, warm_up_s=SETTLE_S)
