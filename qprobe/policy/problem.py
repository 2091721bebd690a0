"""One model on one device: the options of every group, the limits, and how a choice scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qprobe._discover import discover
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Linear, Model
from qprobe.documents.objective import Objective
from qprobe.documents.profile import Profile
from qprobe.documents.sensitivity import Sensitivity
from qprobe.policy import rules
from qprobe.policy.candidates import Builder, Candidate, compute_dtypes
from qprobe.policy.context import Context, Option, Rule, judge
from qprobe.policy.error import ErrorModel
from qprobe.policy.memory import memory_limit, other_bytes, working_bytes
from qprobe.policy.quantities import comparable
from qprobe.policy.rest import RestTime, predict_rest
from qprobe.policy.timing import GroupClock

RULES: tuple[Rule, ...] = discover(rules, "RULE")


@dataclass(frozen=True, slots=True)
class Choice:
    """A whole plan in the making: a candidate for each group, all of one compute type."""

    compute_dtype: FloatDtype
    picks: Mapping[str, Candidate]


@dataclass(frozen=True, slots=True)
class Score:
    """A choice by the numbers that all choices are compared by."""

    goal: float
    """Seconds of the request to compare by, and a little for each change."""
    power: float
    """Error power at the output; infinite where it is not known."""
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything that the decision depends on."""

    model: Model
    profile: Profile
    objective: Objective
    groups: Mapping[str, Sequence[Linear]]
    builder: Builder
    errors: ErrorModel
    context: Context
    options: Mapping[FloatDtype, Mapping[str, Sequence[Option]]]
    rest: Mapping[FloatDtype, RestTime]
    memory_limit_bytes: int | None

    def rest_cost(self, dtype: FloatDtype) -> float:
        """Seconds of everything but the linears, to compare by."""
        requests = [rest.request for rest in self.rest.values()]
        beside_measured = any(request.provenance != "modelled" for request in requests)
        return comparable(self.rest[dtype].request, beside_measured=beside_measured)

    def fixed_bytes(self, dtype: FloatDtype) -> int:
        """What every plan of a compute type needs besides the linears."""
        return other_bytes(self.model, dtype) + working_bytes(self.model, self.objective, dtype)

    def power_limit(self) -> float:
        """The square of the error that may be planned for."""
        return self.objective.error_limit.planned**2

    def byte_limit(self) -> float:
        """The memory limit; infinite where none is known."""
        return math.inf if self.memory_limit_bytes is None else float(self.memory_limit_bytes)

    def score(self, choice: Choice) -> Score:
        """Sum up a choice."""
        dtype, picks = choice.compute_dtype, choice.picks.values()
        powers = [math.inf if pick.power is None else pick.power for pick in picks]
        return Score(
            goal=math.fsum(pick.goal for pick in picks) + self.rest_cost(dtype),
            power=math.fsum(powers) + self.errors.cast_power(dtype),
            memory_bytes=sum(pick.weight_bytes for pick in picks) + self.fixed_bytes(dtype),
        )


def pose(
    model: Model, profile: Profile, objective: Objective, sensitivity: Sensitivity | None
) -> Problem:
    """List and judge every candidate."""
    groups = model.groups()
    errors = ErrorModel(model, sensitivity)
    builder = Builder(model, profile, GroupClock(profile, objective), errors)
    dtypes = compute_dtypes(model, profile)
    candidates = [
        candidate
        for group, members in groups.items()
        for candidate in builder.of_group(group, members, dtypes)
    ]
    unquantized: dict[tuple[str, FloatDtype], list[Candidate]] = {}
    for candidate in candidates:
        if candidate.time is not None and not candidate.scheme.is_quantized:
            key = (candidate.group, candidate.compute_dtype)
            unquantized.setdefault(key, []).append(candidate)
    context = Context(model, objective, groups, errors, unquantized)
    options: dict[FloatDtype, dict[str, list[Option]]] = {
        dtype: {group: [] for group in groups} for dtype in dtypes
    }
    for candidate in sorted(candidates, key=lambda candidate: candidate.preference):
        of_group = options[candidate.compute_dtype][candidate.group]
        of_group.append(judge(candidate, context, RULES))
    return Problem(
        model=model,
        profile=profile,
        objective=objective,
        groups=groups,
        builder=builder,
        errors=errors,
        context=context,
        options=options,
        rest={dtype: predict_rest(model, profile, objective, dtype) for dtype in dtypes},
        memory_limit_bytes=memory_limit(profile, objective),
    )
