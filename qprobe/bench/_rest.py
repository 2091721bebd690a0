"""Seconds of everything in a model but its linears, in its own forward pass."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.bench._bed import Bed, Gpu, find_bed
from qprobe.bench._between import Stopwatch
from qprobe.checkpoint.casting import cast_module
from qprobe.checkpoint.request import time_request
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.profile import Rest
from qprobe.layers._unfold import find_sites, unfold
from qprobe.timing import yardstick
from qprobe.timing.allocator import keep_freed_memory
from qprobe.timing.interleave import Task, time_calmly

BUDGET_S = 3.0
MIN_PASSES = 3
SAMPLE_S = 0.03
SMALL_BYTES = 2**20
"""Weights up to this size sweep nothing out, and may be those of a router, which has to choose as it does."""


def measure_rest(
    module: nn.Module,
    model: Model,
    objective: Objective,
    dtype: FloatDtype,
    device: str = "cpu",
) -> tuple[Rest, float]:
    """Run the model's own forward by a clock that stands still within the linears.

    What surrounds a linear is timed as it runs in the model: on data that the linear has just
    written, in caches that it has used. On a GPU, which computes while the host goes on, linears
    give what they have given before at once. `module` is as stored and is left as it was. Also gives
    the seconds of the yardstick: the speed of the machine that the others are at. Touches the clock
    and the device.
    """
    bed = find_bed(device)
    with bed.active():
        return _measure(module, model, objective, dtype, bed)


def _measure(
    module: nn.Module, model: Model, objective: Objective, dtype: FloatDtype, bed: Bed
) -> tuple[Rest, float]:
    keep_freed_memory()
    clock: Callable[[], float]
    if isinstance(bed, Gpu):
        clock = bed.clock
        timed_module = _without_linears(module, model, getattr(torch, dtype)).to(bed.device)
    else:
        clock = Stopwatch()
        timed_module = _with_clock(module, model, getattr(torch, dtype), clock)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(
        0, model.vocab_size, (objective.batch, objective.prompt), generator=generator
    ).to(bed.device)
    prefill: list[float] = []
    decode: list[float] = []

    def run(_counter: int) -> None:
        prefill_s, decode_s = time_request(timed_module, ids, objective.generate, clock)
        prefill.append(prefill_s)
        decode.append(decode_s)

    tasks = {
        "rest": Task(run, clock=clock, shortest_s=SAMPLE_S),
        yardstick.NAME: bed.yardstick(),
    }
    with torch.no_grad():
        timed = time_calmly(tasks, budget_s=BUDGET_S, min_samples=MIN_PASSES)
    total = timed["rest"].median
    # Passes that warm up are among them, and take any time.
    parts = statistics.median(prefill), statistics.median(decode)
    prefill_share = parts[0] / sum(parts)
    generated = max(1, objective.generate)
    rest = Rest(
        model_hash=model.model_hash,
        batch=objective.batch,
        prompt=objective.prompt,
        generate=objective.generate,
        dtype=dtype,
        prefill_s=total * prefill_share,
        decode_s_per_token=total * (1 - prefill_share) / generated,
        relative_spread=timed["rest"].spread,
    )
    return rest, timed[yardstick.NAME].median


def _with_clock(module: nn.Module, model: Model, dtype: torch.dtype, clock: Stopwatch) -> nn.Module:
    """A copy of the module in `dtype` whose planned linears stop the clock, and read narrow weights."""
    timed = cast_module(copy.deepcopy(module), dtype)
    sites = find_sites(timed, (linear.tensor for linear in model.linears))
    for slots in unfold(timed, sites).slots.values():
        for slot in slots:
            linear: nn.Module = slot.linear
            linear.forward = clock.leave_out(_narrow(slot.linear))
    return timed


def _narrow(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    """A linear that leaves the caches as one of 8-bit weights does: it reads as many bytes.

    What a large weight has swept out of the caches is missing in what follows: between the linears of a
    decoder of 171 million weights that took a quarter longer with 16 bits than with 4.
    Some of the features are computed, and stand for all.
    """
    n, size = linear.out_features, linear.weight.element_size()
    if linear.weight.numel() * size < SMALL_BYTES:
        return linear.forward
    computed = -(-n // size)
    weight = linear.weight[:computed]
    bias = None if linear.bias is None else linear.bias[:computed]

    def forward(x: Tensor) -> Tensor:
        y = functional.linear(x, weight, bias)
        return torch.cat([y] * size, dim=-1)[..., :n].contiguous()

    return forward


def _without_linears(module: nn.Module, model: Model, dtype: torch.dtype) -> nn.Module:
    """A copy of the module in `dtype` whose planned linears compute nothing, and hold nothing."""
    timed = copy.deepcopy(module)
    sites = find_sites(timed, (linear.tensor for linear in model.linears))
    for slots in unfold(timed, sites).slots.values():
        for slot in slots:
            linear: nn.Module = slot.linear
            linear.forward = _repeat(slot.linear.out_features)
            linear.weight = nn.Parameter(torch.empty(0, dtype=dtype), requires_grad=False)
    return cast_module(timed, dtype)


def _repeat(features: int) -> Callable[[Tensor], Tensor]:
    """A linear that gives the same for every input of one shape."""
    kept: dict[torch.Size, Tensor] = {}

    def forward(x: Tensor) -> Tensor:
        if x.shape not in kept:
            kept[x.shape] = torch.randn(*x.shape[:-1], features, device=x.device).to(x.dtype)
        return kept[x.shape]

    return forward
