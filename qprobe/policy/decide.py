"""The decision: the fastest choice within the limits, and what yields where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qprobe.documents.base import FloatDtype
from qprobe.documents.objective import ERROR_RESERVE
from qprobe.errors import InfeasibleError
from qprobe.policy import words
from qprobe.policy.candidates import Candidate
from qprobe.policy.problem import Choice, Problem, Score
from qprobe.policy.solver import Item, minimise
from qprobe.policy.uniform import Uniform, is_feasible

Goal = Literal["time", "power", "bytes"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was chosen, and whether the error limit had to yield to memory."""

    choice: Choice
    score: Score
    error_yielded: bool


def decide(problem: Problem, uniforms: Sequence[Uniform]) -> Decision:
    """Choose; raises InfeasibleError naming the smallest need where nothing fits."""
    feasible = [u.choice for u in uniforms if u.choice and is_feasible(problem, u)]
    power, memory = problem.power_limit(), problem.byte_limit()
    best = _solve(problem, "time", power, memory, under_pressure=False)
    bar = min((problem.score(choice).goal for choice in feasible), default=math.inf)
    if best is None or problem.score(best).goal > bar:
        pressed = _solve(problem, "time", power, memory, under_pressure=True)
        found = [choice for choice in (best, pressed, *feasible) if choice is not None]
        best = min(found, key=lambda choice: problem.score(choice).goal, default=None)
    if best is not None:
        return Decision(best, problem.score(best), error_yielded=False)
    if not problem.objective.error_limit.hard:
        least = _solve(problem, "power", math.inf, memory, under_pressure=True)
        if least is not None:
            return Decision(least, problem.score(least), error_yielded=True)
    raise _infeasible(problem)


def _solve(
    problem: Problem, goal: Goal, power: float, memory: float, *, under_pressure: bool
) -> Choice | None:
    """The best choice over the compute types; of equals, the first type: the stored one."""
    found = [
        choice
        for dtype in problem.options
        if (choice := _solve_at(problem, dtype, goal, power, memory, under_pressure=under_pressure))
    ]
    return min(found, key=lambda choice: _reached(problem, goal, choice), default=None)


def _solve_at(
    problem: Problem,
    dtype: FloatDtype,
    goal: Goal,
    power: float,
    memory: float,
    *,
    under_pressure: bool,
) -> Choice | None:
    limits = (
        power - problem.errors.cast_power(dtype),
        memory - problem.fixed_bytes(dtype),
    )
    if min(limits) < 0:
        return None
    allowed = {
        group: sorted(
            (o.candidate for o in options if o.is_allowed(under_pressure=under_pressure)),
            key=lambda candidate: (candidate.goal, candidate.preference),
        )
        for group, options in problem.options[dtype].items()
    }
    items = [[_item(candidate, goal) for candidate in group] for group in allowed.values()]
    picks = minimise(items, limits)
    if picks is None:
        return None
    chosen = {name: allowed[name][pick] for name, pick in zip(allowed, picks, strict=True)}
    return Choice(dtype, chosen)


def _item(candidate: Candidate, goal: Goal) -> Item:
    power = math.inf if candidate.power is None else candidate.power
    size = float(candidate.weight_bytes)
    value = {"time": candidate.goal, "power": power, "bytes": size}[goal]
    return Item(value, (power, size))


def _reached(problem: Problem, goal: Goal, choice: Choice) -> float:
    score = problem.score(choice)
    return {"time": score.goal, "power": score.power, "bytes": score.memory_bytes}[goal]


def _infeasible(problem: Problem) -> InfeasibleError:
    """Say what stands in the way: rules, the memory, the error, or both limits together."""
    name, limit = problem.model.name, problem.objective.error_limit.value
    smallest = _solve(problem, "bytes", math.inf, math.inf, under_pressure=True)
    if smallest is None:
        return InfeasibleError(
            f"no plan for {name}: {_blocked(problem)}", "remove or change the pin that it names"
        )
    need = problem.score(smallest).memory_bytes
    within: Choice | None = smallest
    if problem.objective.error_limit.hard:
        within = _solve(problem, "bytes", problem.power_limit(), math.inf, under_pressure=True)
    if within is None:
        memories = (problem.byte_limit(), math.inf)
        most_exact = (
            _solve(problem, "power", math.inf, memory, under_pressure=True) for memory in memories
        )
        least = problem.score(next(filter(None, most_exact), smallest)).power ** 0.5
        return InfeasibleError(
            f"no plan for {name} is that exact: the least error is {words.error(least)}, the limit "
            f"is {words.error(limit)} less {ERROR_RESERVE:.0%}",
            f"allow an error of {words.error_above(least / (1 - ERROR_RESERVE))}, or remove pins",
        )
    least_bytes = problem.score(within).memory_bytes
    if least_bytes == need:
        return InfeasibleError(
            f"no plan for {name} fits: the smallest needs {words.size(need)} ({need} "
            f"bytes), the limit is {words.size(problem.byte_limit())}",
            f"allow {need} bytes, or ask for a smaller batch or prompt",
        )
    return InfeasibleError(
        f"no plan for {name} fits both limits: within an error of {words.error(limit)} the smallest "
        f"needs {words.size(least_bytes)}, the limit is {words.size(problem.byte_limit())}; "
        f"whatever the error, {words.size(need)}",
        f"allow {least_bytes} bytes or a greater error",
    )


def _blocked(problem: Problem) -> str:
    """The first group that no candidate is allowed for, and every reason."""
    group, judged = next(
        (group, judged)
        for options in problem.options.values()
        for group, judged in options.items()
        if not any(option.is_allowed(under_pressure=True) for option in judged)
    )
    reasons = (
        f"{option.candidate.scheme.name}: {reason}"
        for option in judged
        for reason in option.forbidden
    )
    return f"{group}: {'; '.join(dict.fromkeys(reasons))}"
