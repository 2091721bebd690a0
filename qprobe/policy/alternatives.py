"""The plans that treat every group alike, scored beside the chosen one by the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

from qprobe.documents import plan as documents
from qprobe.documents.objective import ERROR_RESERVE
from qprobe.documents.plan import Alternative
from qprobe.policy import words
from qprobe.policy.decide import Decision
from qprobe.policy.prediction import predict
from qprobe.policy.problem import Choice, Problem
from qprobe.policy.solver import fits
from qprobe.policy.uniform import Uniform


def list_alternatives(
    problem: Problem, decision: Decision, bars: Sequence[Uniform]
) -> tuple[Alternative, ...]:
    """Each with its prediction and, unless it is the chosen one, why it is not."""
    return tuple(_write(problem, decision, bar) for bar in bars)


def _write(problem: Problem, decision: Decision, bar: Uniform) -> Alternative:
    if bar.choice is None:
        return Alternative(name=bar.name, feasible=False, why=_first(bar.obstacles), predicted=None)
    predicted = predict(problem, bar.choice)
    violated = why = ""
    if _is_same(bar.choice, decision.choice):
        why = "chosen"
    else:
        violated = _first(bar.obstacles) if bar.obstacles else _violation(problem, bar.choice)
        why = violated or _compare(problem, decision, bar.choice)
    return Alternative(
        name=bar.name,
        feasible=not violated,
        why=why,
        predicted=predicted,
        compute_dtype=bar.choice.compute_dtype,
        choices=_fold(bar.choice),
    )


def _fold(choice: Choice) -> tuple[documents.Choice, ...]:
    """The groups that are treated alike, together."""
    alike: dict[tuple[str, str, tuple[documents.KernelRange, ...]], list[str]] = {}
    for group, pick in choice.picks.items():
        kernels = pick.time.kernels if pick.time else ()
        alike.setdefault((pick.scheme.name, pick.algorithm, kernels), []).append(group)
    return tuple(
        documents.Choice(scheme=scheme, algorithm=algorithm, kernels=kernels, groups=tuple(groups))
        for (scheme, algorithm, kernels), groups in alike.items()
    )


def _is_same(one: Choice, other: Choice) -> bool:
    return one.compute_dtype == other.compute_dtype and all(
        (pick.scheme.name, pick.algorithm, pick.time and pick.time.kernels)
        == (theirs.scheme.name, theirs.algorithm, theirs.time and theirs.time.kernels)
        for pick, theirs in ((pick, other.picks[group]) for group, pick in one.picks.items())
    )


def _violation(problem: Problem, choice: Choice) -> str:
    score = problem.score(choice)
    if not fits((score.memory_bytes,), (problem.byte_limit(),)):
        return (
            f"needs {words.size(score.memory_bytes)} of memory; "
            f"the limit is {words.size(problem.byte_limit())}"
        )
    if not fits((score.power,), (problem.power_limit(),)):
        limit = problem.objective.error_limit
        return (
            f"error {words.error(score.power**0.5)}, above "
            f"{words.error(limit.planned)} ({words.error(limit.value)} less {ERROR_RESERVE:.0%})"
        )
    return ""


def _compare(problem: Problem, decision: Decision, choice: Choice) -> str:
    mine = predict(problem, decision.choice).seconds
    theirs = predict(problem, choice).seconds
    ratio = theirs.value / mine.value if mine.value else 1.0
    sentence = f"{ratio:.2f} times the time of the plan"
    if decision.error_yielded:
        return f"{sentence}, at a greater error"
    if theirs.value < mine.value:
        return f"{sentence} ({words.provenance(theirs)}): not beyond doubt faster"
    return sentence


def _first(obstacles: Sequence[str]) -> str:
    more = len(obstacles) - 1
    return obstacles[0] + (f" (and {more} more)" if more > 0 else "")
