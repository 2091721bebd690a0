"""Seconds of everything in a model but its linears, in its own forward pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from qprobe.checkpoint.casting import cast_module
from qprobe.checkpoint.names import resolve_modules
from qprobe.checkpoint.request import time_request
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.profile import Rest
from qprobe.timing import yardstick
from qprobe.timing.allocator import keep_freed_memory
from qprobe.timing.interleave import Task, time_calmly

BUDGET_S = 2.0
MIN_PASSES = 9


class _Instant(nn.Module):
    """Stands for a linear: gives a tensor of the right shape that was there before."""

    def __init__(self, n: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.n, self.dtype = n, dtype
        self.known: dict[torch.Size, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        """X (…, K) → the same (…, N) for each shape of x."""
        shape = x.shape[:-1]
        if shape not in self.known:
            generator = torch.Generator().manual_seed(self.n)
            self.known[shape] = torch.randn(*shape, self.n, generator=generator).to(self.dtype)
        return self.known[shape]


def measure_rest(
    module: nn.Module,
    model: Model,
    objective: Objective,
    dtype: FloatDtype,
) -> tuple[Rest, float]:
    """Run the model's own forward with every linear replaced by one that takes no time.

    `module` is as stored and is left as it was. Also gives the seconds of the yardstick: the speed
    of the machine that the others are at. Touches the clock and the device.
    """
    keep_freed_memory()
    compute_dtype: torch.dtype = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(
        0, model.vocab_size, (objective.batch, objective.prompt), generator=generator
    )
    prefill: list[float] = []
    decode: list[float] = []
    with _without_linears(module, model, compute_dtype) as bare, torch.no_grad():

        def run(_counter: int) -> None:
            prefill_s, decode_s = time_request(bare, ids, objective.generate)
            prefill.append(prefill_s)
            decode.append(decode_s)

        tasks = {"rest": Task(run), yardstick.NAME: yardstick.make_yardstick()}
        timed = time_calmly(tasks, budget_s=BUDGET_S, min_samples=MIN_PASSES)
    total = timed["rest"].median
    prefill_share = sum(prefill) / (sum(prefill) + sum(decode))
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


@contextmanager
def _without_linears(module: nn.Module, model: Model, dtype: torch.dtype) -> Iterator[nn.Module]:
    """A copy of the module in `dtype` whose planned linears are instant."""
    memo: dict[int, object] = {}
    paths = resolve_modules(module, (linear.tensor for linear in model.linears))
    for linear, path in zip(model.linears, paths.values(), strict=True):
        memo[id(module.get_submodule(path))] = _Instant(linear.n, dtype)
    yield cast_module(copy.deepcopy(module, memo), dtype)
