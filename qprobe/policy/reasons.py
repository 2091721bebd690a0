"""Why a group has its scheme, and why it has none of the others: from the numbers, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qprobe.documents.plan import Rejected
from qprobe.documents.profile import REFERENCE
from qprobe.policy import words
from qprobe.policy.candidates import Candidate
from qprobe.policy.context import Option
from qprobe.policy.decide import Decision
from qprobe.policy.problem import Problem
from qprobe.policy.timing import GroupTime


@dataclass(frozen=True, slots=True)
class Budget:
    """The error budget as a power, and what the plan leaves of what may be planned for, and of the bytes."""

    power: float
    power_left: float
    """Without the reserve, which no plan may use."""
    bytes_left: float
    minimises_error: bool


def budget_of(problem: Problem, decision: Decision) -> Budget:
    """What the decision leaves of the limits."""
    return Budget(
        power=problem.objective.error_limit.budget,
        power_left=problem.power_limit() - decision.score.power,
        bytes_left=problem.byte_limit() - decision.score.memory_bytes,
        minimises_error=decision.error_yielded,
    )


def explain_chosen(
    pick: Candidate, unquantized: Candidate | None, plain: Candidate | None, budget: Budget
) -> tuple[str, ...]:
    """Time, bytes and error of the chosen, against the unquantized group.

    `unquantized` is the best unquantized candidate; `plain` is the same through the reference.
    """
    other = unquantized if pick.scheme.is_quantized else plain
    return (
        *_explain_time(pick, other),
        *_explain_bytes(pick, unquantized if pick.rounds else None),
        *(_explain_error(pick, budget) if pick.rounds else ()),
    )


def _explain_time(pick: Candidate, other: Candidate | None) -> tuple[str, ...]:
    mine = pick.time
    if mine is None:
        return ()
    at = words.at_rows(mine.rows)
    if other is None or other.time is None or other.time.used == mine.used == (REFERENCE,):
        known = words.provenance(mine.request)
        return (f"{words.seconds(mine.request.value)} unquantized ({known} at {at})",)
    what = "unquantized" if pick.scheme.is_quantized else "through the plain layer"
    known = words.provenance(mine.request, other.time.request)
    return (
        f"{words.seconds(mine.request.value)} against {words.seconds(other.time.request.value)} "
        f"{what} ({known} at {at})",
    )


def _explain_bytes(pick: Candidate, other: Candidate | None) -> tuple[str, ...]:
    if other is None or other.weight_bytes == pick.weight_bytes:
        return ()
    return (
        f"{words.size(pick.weight_bytes)} against {words.size(other.weight_bytes)} unquantized",
    )


def _explain_error(pick: Candidate, budget: Budget) -> tuple[str, ...]:
    if pick.power is None or not budget.power:
        return ()
    return (f"takes {words.share(pick.power / budget.power)} of the error budget",)


def explain_rejected(
    pick: Candidate, options: Sequence[Option], budget: Budget
) -> tuple[Rejected, ...]:
    """Every other scheme of the same compute type, with all that speaks against it."""
    others: dict[str, list[Option]] = {}
    for option in options:
        if option.candidate.scheme.name != pick.scheme.name:
            others.setdefault(option.candidate.scheme.name, []).append(option)
    return tuple(
        Rejected(scheme=scheme, reasons=_reasons(pick, of_scheme, budget))
        for scheme, of_scheme in others.items()
    )


def _reasons(pick: Candidate, options: Sequence[Option], budget: Budget) -> tuple[str, ...]:
    found: list[str] = []
    for option in options:
        found += option.forbidden
        found += option.discouraged
        if not option.forbidden and not option.discouraged:
            found += _compare(pick, option.candidate, budget)
    return tuple(dict.fromkeys(found))


def _compare(pick: Candidate, other: Candidate, budget: Budget) -> list[str]:
    """What would change if a candidate without objections took the place of the chosen one."""
    if other.time is None or pick.time is None:
        return []
    through = ", ".join(other.time.used)
    found = [_time_lost(through, pick.time, other.time)] if other.cost > pick.cost else []
    if other.power is not None and pick.power is not None and other.power > pick.power:
        more = other.power - pick.power
        if budget.minimises_error:
            found.append(
                f"{through}: adds to the error, of which this plan has the least that fits"
            )
        elif more > budget.power_left:
            found.append(
                f"{through}: would take {_of(other.power, budget.power)} of the error budget; "
                f"{_of(max(0.0, budget.power_left) + pick.power, budget.power)} is there "
                f"besides the reserve"
            )
    more_bytes = other.weight_bytes - pick.weight_bytes
    if more_bytes > budget.bytes_left:
        found.append(
            f"{through}: needs {words.size(more_bytes)} more memory, of which "
            f"{words.size(max(0.0, budget.bytes_left))} is left"
        )
    if not found:
        saved = pick.cost - other.cost
        part = words.share(saved / pick.cost) if pick.cost else "nothing"
        found.append(f"{through}: saves {part} of the group's time, too little for the change")
    return found


def _time_lost(through: str, mine: GroupTime, theirs: GroupTime) -> str:
    ours, others = mine.request, theirs.request
    known = words.provenance(ours, others)
    if others.value > ours.value:
        return (
            f"{through}: costs {words.seconds(others.value - ours.value)} more than the chosen, "
            f"{words.seconds(others.value)} against {words.seconds(ours.value)} ({known})"
        )
    return (
        f"{through}: {words.seconds(others.value)} is {words.provenance(others)}, not beyond doubt "
        f"below {words.seconds(ours.value)} {words.provenance(ours)}"
    )


def _of(power: float, budget: float) -> str:
    return words.share(power / budget) if budget else "all"


def best_unquantized(options: Sequence[Option]) -> Candidate | None:
    """The unquantized candidate that a group would have otherwise."""
    found = [
        option.candidate
        for option in options
        if option.candidate.time is not None and not option.candidate.scheme.is_quantized
    ]
    return min(found, key=lambda c: (c.goal, c.preference), default=None)


def plain_layers(
    uniform_picks: Sequence[Mapping[str, Candidate]], pick: Candidate
) -> Candidate | None:
    """The group through the reference kernel at the same compute type, where it was scored."""
    found = (picks[pick.group] for picks in uniform_picks)
    return next(
        (c for c in found if c.compute_dtype == pick.compute_dtype and not c.scheme.is_quantized),
        None,
    )
