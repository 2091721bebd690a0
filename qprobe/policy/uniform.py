"""Plans that treat every group alike: what people do without a plan, and the bar for ours."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qprobe.documents.base import FloatDtype
from qprobe.documents.scheme import SCHEMES
from qprobe.policy.candidates import CASTS, Candidate, schemes_at
from qprobe.policy.context import judge
from qprobe.policy.error import is_cast
from qprobe.policy.problem import RULES, Choice, Problem
from qprobe.policy.solver import fits


@dataclass(frozen=True, slots=True)
class Uniform:
    """A plan of one name; no choice where it cannot run at all."""

    name: str
    choice: Choice | None
    obstacles: tuple[str, ...]
    """Why it may not be chosen whatever the limits."""


def uniforms(problem: Problem) -> list[Uniform]:
    """NONE and the casts through the reference alone, then every quantized scheme at its best."""
    stored = problem.model.dtype
    plain: list[tuple[str, FloatDtype]] = [("NONE", stored)]
    plain += [(name, dtype) for dtype, name in CASTS.items() if is_cast(stored, dtype)]
    if is_cast("float32", stored):
        plain.append(("FP32", "float32"))
    quantized = [name for name, scheme in SCHEMES.items() if scheme.is_quantized]
    return [_plain(problem, name, dtype) for name, dtype in plain] + [
        _best(problem, name) for name in quantized
    ]


def _plain(problem: Problem, name: str, dtype: FloatDtype) -> Uniform:
    if dtype not in problem.options:
        where = problem.profile.fingerprint.kind
        return Uniform(
            name, None, (f"{dtype} is not computed or was not measured on this {where}",)
        )
    picks: dict[str, Candidate] = {}
    obstacles: list[str] = []
    for group, members in problem.groups.items():
        beside = [
            option.candidate for options in problem.options.values() for option in options[group]
        ]
        candidate = problem.builder.plain(group, members, dtype, beside)
        picks[group] = candidate
        forbidden = judge(candidate, problem.context, RULES).forbidden
        obstacles += [f"{group}: {reason}" for reason in forbidden]
    can_run = all(pick.time is not None for pick in picks.values())
    return Uniform(name, Choice(dtype, picks) if can_run else None, tuple(obstacles))


def _best(problem: Problem, scheme: str) -> Uniform:
    """The scheme wherever rules other than speed allow it, at the compute type that suits it best."""
    found = [_spread(problem, scheme, dtype) for dtype in problem.options]
    runnable = [uniform for uniform in found if uniform.choice]
    return min(runnable, key=lambda uniform: _rank(problem, uniform), default=found[0])


def _rank(problem: Problem, uniform: Uniform) -> tuple[bool, float]:
    if uniform.choice is None:
        return True, math.inf
    return not is_feasible(problem, uniform), problem.score(uniform.choice).goal


def is_feasible(problem: Problem, uniform: Uniform) -> bool:
    """Whether it can run, breaks no rule and stays within the limits."""
    if uniform.choice is None or uniform.obstacles:
        return False
    score = problem.score(uniform.choice)
    loads = (score.power, float(score.memory_bytes))
    return fits(loads, (problem.power_limit(), problem.byte_limit()))


def _spread(problem: Problem, scheme: str, dtype: FloatDtype) -> Uniform:
    picks: dict[str, Candidate] = {}
    refusals: list[str] = []
    unquantized = schemes_at(problem.model.dtype, dtype)[0]
    for group, options in problem.options[dtype].items():
        allowed = [o.candidate for o in options if o.is_allowed(under_pressure=True)]
        wanted = [c for c in allowed if c.scheme.name == scheme]
        left = [c for c in allowed if c.scheme.name == unquantized]
        refusals += [r for o in options if o.candidate.scheme.name == scheme for r in o.forbidden]
        if not allowed:
            reason = next(r for o in options for r in o.forbidden)
            return Uniform(scheme, None, (f"{group}: {reason}",))
        picks[group] = min(wanted or left or allowed, key=lambda c: (c.goal, c.preference))
    if all(pick.scheme.name != scheme for pick in picks.values()):
        reasons = refusals or [f"no kernel of this profile computes {scheme}"]
        return Uniform(scheme, None, tuple(dict.fromkeys(reasons))[:1])
    return Uniform(scheme, Choice(dtype, picks), ())
