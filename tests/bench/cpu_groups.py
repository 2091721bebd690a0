"""Each decision of a plan beside the plain layers that it replaces, over the whole request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qprobe.bench._bed import SETTLE_S
from qprobe.bench._between import Stopwatch, make_interlude
from qprobe.documents.model import Linear, Model
from qprobe.documents.objective import Objective
from qprobe.documents.plan import GroupPlan, Plan
from qprobe.layers import make_layer
from qprobe.timing.interleave import Task, time_calmly
from tests.bench.cpu_data import count_copies, draw_rows, make_linear
from tests.bench.cpu_report import GroupResult
from tests.bench.peers._peer import copy_linear

MIN_SAMPLES = 9


@dataclass(frozen=True)
class _Decision:
    """What groups of equal shapes and equal plans share."""

    members: tuple[tuple[int, int], ...]
    rows: str
    plan: GroupPlan


def measure_groups(plan: Plan, model: Model, budget_s: float) -> list[GroupResult]:
    """Every distinct decision that changes a layer, timed at the request's M in turn."""
    section = plan.targets[plan.primary]
    dtype: torch.dtype = getattr(torch, section.compute_dtype)
    linears = {linear.tensor: linear for linear in model.linears}
    members: dict[str, list[Linear]] = {}
    for item in plan.assignments:
        members.setdefault(item.group, []).append(linears[item.tensor])
    alike: dict[str, tuple[_Decision, list[str]]] = {}
    for group, inside in members.items():
        shapes = tuple((linear.n, linear.k) for linear in inside)
        decision = _Decision(shapes, inside[0].rows, section.groups[group])
        stripped = section.groups[group].model_dump_json(exclude={"reasons", "rejected"})
        alike.setdefault(f"{shapes} {inside[0].rows} {stripped}", (decision, []))[1].append(group)
    results = []
    for decision, groups in alike.values():
        inside = members[groups[0]]
        timed = _time(decision, inside, plan.objective, dtype, budget_s, model.linear_weights)
        if timed is not None:
            results.append(
                GroupResult(
                    example=groups[0],
                    groups=len(groups),
                    scheme=decision.plan.scheme.name,
                    kernels=tuple(dict.fromkeys(r.kernel for r in decision.plan.kernels)),
                    shapes=decision.members,
                    planned_s=timed[0],
                    unquantized_s=timed[1],
                )
            )
    return results


def _time(
    decision: _Decision,
    linears: Sequence[Linear],
    objective: Objective,
    dtype: torch.dtype,
    budget_s: float,
    weights: int,
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Seconds of a request by round, planned and plain; None where the plan leaves plain layers.

    As in the model: after other work, over as many copies as have the model's number of weights.
    """
    plan, first = decision.plan, linears[0]
    passes = {first.m(objective.batch, objective.prompt): 1}
    if objective.generate:
        m = first.m(objective.batch, 1)
        passes[m] = passes.get(m, 0) + objective.generate
    size = sum(n for n, _ in decision.members)
    count = max(2, min(count_copies(size, first.k, 4, min(passes)), weights // (size * first.k)))
    planned: list[list[nn.Linear]] = []
    plain: list[list[nn.Linear]] = []
    for seed in range(count):
        sources = [make_linear(n, k, 100 * seed + i) for i, (n, k) in enumerate(decision.members)]
        plain.append([copy_linear(source, dtype) for source in sources])
        planned.append(
            [make_layer(s, plan.scheme, plan.algorithm, plan.kernels, dtype) for s in sources]
        )
        if all(type(layer) is nn.Linear and layer.weight.dtype == dtype for layer in planned[0]):
            return None
    tasks = {}
    for m in passes:
        xs = [draw_rows(m, first.k, seed).to(dtype) for seed in range(2)]
        for name, copies in (("planned", planned), ("plain", plain)):
            clock = Stopwatch()
            run = _Runner(copies, xs, clock.leave_out(make_interlude(m, first.k)))
            tasks[f"{name} {m}"] = Task(
                run, is_rival=False, warm_up=count, warm_up_s=SETTLE_S, clock=clock
            )
    with torch.no_grad():
        timed = time_calmly(tasks, budget_s=budget_s, min_samples=MIN_SAMPLES)
    totals = []
    for name in ("planned", "plain"):
        columns = [[s * times for s in timed[f"{name} {m}"].seconds] for m, times in passes.items()]
        totals.append(tuple(float(f"{sum(row):.5g}") for row in zip(*columns, strict=True)))
    return totals[0], totals[1]


class _Runner:
    """All members of a group on one input, copy after copy."""

    def __init__(
        self,
        copies: Sequence[Sequence[nn.Linear]],
        xs: Sequence[Tensor],
        interlude: Callable[[], object],
    ) -> None:
        self._copies, self._xs, self._interlude = copies, xs, interlude

    def __call__(self, counter: int) -> None:
        """Run copy number `counter`, after other work."""
        self._interlude()
        x = self._xs[counter % len(self._xs)]
        for layer in self._copies[counter % len(self._copies)]:
            layer(x)
