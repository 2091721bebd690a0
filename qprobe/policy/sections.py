"""One device's part of the plan: the decision, written out and explained."""

from __future__ import annotations

from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.plan import GroupPlan, GroupPredicted, Section
from qprobe.documents.profile import Profile
from qprobe.documents.sensitivity import Sensitivity
from qprobe.policy.alternatives import list_alternatives
from qprobe.policy.candidates import Candidate
from qprobe.policy.decide import Decision, decide
from qprobe.policy.prediction import predict
from qprobe.policy.problem import Problem, pose
from qprobe.policy.reasons import (
    best_unquantized,
    budget_of,
    explain_chosen,
    explain_rejected,
    plain_layers,
)
from qprobe.policy.summary import list_warnings, summarise
from qprobe.policy.uniform import Uniform, uniforms


def make_section(
    model: Model, profile: Profile, objective: Objective, sensitivity: Sensitivity | None
) -> Section:
    """Decide for one device; raises InfeasibleError where no plan satisfies the limits."""
    problem = pose(model, profile, objective, sensitivity)
    bars = uniforms(problem)
    decision = decide(problem, bars)
    predicted = predict(problem, decision.choice)
    alternatives = list_alternatives(problem, decision, bars)
    return Section(
        fingerprint=profile.fingerprint,
        profile_hash=profile.content_hash(),
        yardstick_s=profile.yardstick_s,
        compute_dtype=decision.choice.compute_dtype,
        groups=_write_groups(problem, decision, bars),
        predicted=predicted,
        alternatives=alternatives,
        summary=summarise(problem, decision, predicted, alternatives),
        warnings=list_warnings(problem, decision, predicted),
    )


def _write_groups(
    problem: Problem, decision: Decision, bars: list[Uniform]
) -> dict[str, GroupPlan]:
    budget = budget_of(problem, decision)
    plain = [
        bar.choice.picks for bar in bars if bar.choice and bar.name in ("NONE", "BF16", "FP32")
    ]
    stored = next((bar.choice.picks for bar in bars if bar.choice and bar.name == "NONE"), {})
    written: dict[str, GroupPlan] = {}
    for group, pick in decision.choice.picks.items():
        options = problem.options[decision.choice.compute_dtype][group]
        written[group] = GroupPlan(
            scheme=pick.scheme,
            algorithm=pick.algorithm,
            kernels=pick.time.kernels if pick.time else (),
            reasons=explain_chosen(
                pick, best_unquantized(options), plain_layers(plain, pick), budget
            ),
            rejected=explain_rejected(pick, options, budget),
            predicted=_predict_group(pick, stored.get(group)),
        )
    return written


def _predict_group(pick: Candidate, stored: Candidate | None) -> GroupPredicted | None:
    if pick.time is None:
        return None
    return GroupPredicted(
        seconds=pick.time.request,
        stored_seconds=stored.time.request if stored and stored.time else None,
        weight_bytes=pick.weight_bytes,
        error=None if pick.power is None else pick.power**0.5,
    )
