"""What must hold of every plan, on models, profiles and limits drawn at random."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.documents.files import parse_document, to_json
from qprobe.documents.objective import ERROR_RESERVE
from qprobe.documents.plan import Plan
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import InfeasibleError
from qprobe.policy import make_plan
from qprobe.policy.candidates import TIE_SHARE
from qprobe.policy.decide import decide
from qprobe.policy.problem import Choice, pose
from qprobe.policy.solver import GAP, fits
from qprobe.policy.uniform import is_feasible, uniforms
from tests.documents_factory import (
    BF16_FACT,
    INT8_FACT,
    REFERENCE_FACT,
    block,
    fact,
    linear,
    measured_profile,
    model,
    objective,
    sensitivity,
)


def instance(seed: int, groups: int = 4):
    """A random model, profile, objective and sensitivity; every third cell is not measured."""
    draw = random.Random(seed)
    of = model(
        [linear(f"w{i}", 32 * draw.randint(1, 8), 32 * draw.randint(1, 8)) for i in range(groups)]
    )
    dtypes = ("float32", "bfloat16") if draw.random() < 0.5 else ("float32",)

    def seconds(*_cell):
        return None if draw.random() < 0.33 else 10 ** draw.uniform(-5, -3)

    on = measured_profile(
        of, seconds, dtypes=dtypes, facts=(REFERENCE_FACT, INT8_FACT, BF16_FACT), rest=()
    )
    known = sensitivity(of, gains={group: 10 ** draw.uniform(-1, 2) for group in of.groups()})
    roomy = pose(of, on, objective(), known)
    most = sum(
        max(o.candidate.weight_bytes for o in options)
        for options in roomy.options["float32"].values()
    ) + roomy.fixed_bytes("float32")
    limit = int(most * draw.uniform(0.5, 1.1))
    return of, on, known, limit, 10 ** draw.uniform(-3, -1)


def combinations(problem):
    """Every choice that rules other than speed allow."""
    for dtype, options in problem.options.items():
        allowed = [
            [o.candidate for o in judged if o.is_allowed(under_pressure=False)]
            for judged in options.values()
        ]
        for picks in itertools.product(*allowed):
            yield Choice(dtype, {pick.group: pick for pick in picks})


def within(problem, choice):
    score = problem.score(choice)
    limits = (problem.power_limit(), problem.byte_limit())
    return fits((score.power, float(score.memory_bytes)), limits)


@pytest.mark.parametrize("seed", range(12))
def test_no_combination_beats_the_plan(seed):
    of, on, known, limit, error = instance(seed, groups=3)
    problem = pose(of, on, objective(memory_limit_bytes=limit, error=error), known)
    goals = [problem.score(c).goal for c in combinations(problem) if within(problem, c)]
    if goals:
        found = decide(problem, uniforms(problem))
        assert within(problem, found.choice)
        assert found.score.goal <= min(goals) * (1 + GAP)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), hard=st.booleans())
def test_every_plan_keeps_its_promises(seed, hard):
    of, on, known, limit, error = instance(seed)
    asked = objective(memory_limit_bytes=limit, **({"error": error} if hard else {}))
    try:
        plan = make_plan(of, on, asked, known)
    except InfeasibleError:
        return
    section = plan.targets[plan.primary]
    assert section.predicted.memory_bytes.value <= limit
    if hard:
        assert section.predicted.error.value <= error * (1 + 1e-6)
    elif section.predicted.error.value > 0.05 * (1 + 1e-6):
        assert any("yields to memory" in warning for warning in section.warnings)
    for group in section.groups.values():
        assert group.kernels[0].m_min == 1
        assert group.kernels[-1].m_max is None
        assert group.reasons
        assert group.scheme.name not in {item.scheme for item in group.rejected}
    assert parse_document(Plan, to_json(plan), "plan") == plan
    assert make_plan(of, on, asked, known).content_hash() == plan.content_hash()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_plan_is_never_worse_than_any_uniform_one(seed):
    of, on, known, limit, _ = instance(seed)
    problem = pose(of, on, objective(memory_limit_bytes=limit), known)
    bars = uniforms(problem)
    feasible = [u.choice for u in bars if u.choice and is_feasible(problem, u)]
    try:
        found = decide(problem, bars)
    except InfeasibleError:
        assert not feasible
        return
    costs = [
        math.fsum(pick.cost for pick in choice.picks.values())
        + problem.rest_cost(choice.compute_dtype)
        for choice in (found.choice, *feasible)
    ]
    assert all(costs[0] <= cost * (1 + TIE_SHARE) for cost in costs[1:])


def large(blocks: int):
    draw = random.Random(blocks)
    of = model([item for index in range(blocks) for item in block(index)])
    known = sensitivity(of, gains={group: 10 ** draw.uniform(-3, 0) for group in of.groups()})
    speeds = dict.fromkeys(SCHEMES, 1.5) | {"NONE": 1.0, "BF16": 0.8, "W8A16": 0.7, "W8A8": 0.4}
    on = measured_profile(
        of,
        lambda scheme, _kernel, _dtype, m, n, k: speeds[scheme] * m * n * k / 1e11,
        facts=(REFERENCE_FACT, INT8_FACT, fact("cpu.weight_only", ("W8A16",))),
        free_memory_bytes=None,
    )
    return of, on, known


@pytest.mark.parametrize(
    "blocks", [80, pytest.param(915, marks=pytest.mark.slow)], ids=["320-groups", "3660-groups"]
)
def test_large_models_are_solved_within_a_limit_that_binds(blocks):
    of, on, known = large(blocks)
    plan = make_plan(of, on, objective(error=0.04), known)
    section = plan.targets[plan.primary]
    most = (1 - ERROR_RESERVE) * 0.04
    assert 0.97 * most < section.predicted.error.value <= most * (1 + 1e-6)
    assert {group.scheme.name for group in section.groups.values()} >= {"W8A8", "W8A16"}
