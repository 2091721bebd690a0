"""What each kind of layer became, with its time and its error: the rows of the page's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qprobe.documents.base import Quantity
from qprobe.documents.plan import GroupPredicted, Plan, Section
from qprobe.render.charts.costs import percent, share_of_budget
from qprobe.render.charts.families import Family, family_of
from qprobe.render.folding import FoldedRow, fold_groups
from qprobe.render.html.known import Known, add, known, shares
from qprobe.render.plan import heading_of
from qprobe.render.units import format_ratio, format_seconds

MAX_ROWS = 150
"""Kinds of layers on the page; the document has them all."""
MAX_GROUPS = 400
"""Groups that are listed one by one."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """Groups of one kind with one decision."""

    label: str
    count: int
    shapes: str
    scheme: str
    family: Family
    kernels: str
    weight_bytes: str
    heading: str
    reasons: tuple[str, ...]
    rejected: tuple[tuple[str, tuple[str, ...]], ...]
    time: Known | None
    time_bar: float
    """Of the longest, in per cent."""
    speed: str
    """Beside the same groups as stored."""
    budget: str
    budget_bar: float


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group, for the full list."""

    group: str
    scheme: str
    time: Known | None
    budget: str


def layer_rows(plan: Plan, section: Section) -> tuple[list[LayerRow], int]:
    """The rows in the checkpoint's order, and how many more there are than the page shows."""
    folded = fold_groups(plan, section)
    shown = folded[:MAX_ROWS]
    limit = plan.objective.error_limit.value
    times = [_sum_seconds(section, row) for row in shown]
    budgets = [_sum_budget(section, row, limit) for row in shown]
    time_bars = shares([time.value if time else 0.0 for time in times])
    budget_bars = shares([budget or 0.0 for budget in budgets])
    rows = [
        LayerRow(
            label=row.label,
            count=len(row.groups),
            shapes=row.shapes,
            scheme=row.scheme,
            family=family_of(row.scheme),
            kernels=row.kernels,
            weight_bytes=row.weight_bytes,
            heading=heading_of(row),
            reasons=row.decision.reasons,
            rejected=tuple((item.scheme, item.reasons) for item in row.decision.rejected),
            time=None if time is None else known(time, format_seconds),
            time_bar=time_bar,
            speed=_speed(section, row, time),
            budget="unknown" if budget is None else percent(budget),
            budget_bar=budget_bar,
        )
        for row, time, budget, time_bar, budget_bar in zip(
            shown, times, budgets, time_bars, budget_bars, strict=True
        )
    ]
    return rows, len(folded) - len(shown)


def group_rows(plan: Plan, section: Section) -> tuple[list[GroupRow], int]:
    """Every group by itself, and how many more there are than the page shows."""
    names = list(dict.fromkeys(item.group for item in plan.assignments))
    limit = plan.objective.error_limit.value
    return [_group_row(section, name, limit) for name in names[:MAX_GROUPS]], max(
        0, len(names) - MAX_GROUPS
    )


def _group_row(section: Section, name: str, limit: float) -> GroupRow:
    decision = section.groups[name]
    predicted = decision.predicted
    share = share_of_budget(predicted.error, limit) if predicted else None
    return GroupRow(
        group=name,
        scheme=decision.scheme.name,
        time=known(predicted.seconds, format_seconds) if predicted else None,
        budget="unknown" if share is None else percent(share),
    )


def _predictions(section: Section, row: FoldedRow) -> Sequence[GroupPredicted] | None:
    found = [section.groups[group].predicted for group in row.groups]
    present = [item for item in found if item is not None]
    return present if len(present) == len(found) else None


def _sum_seconds(section: Section, row: FoldedRow) -> Quantity | None:
    predictions = _predictions(section, row)
    return None if predictions is None else add([item.seconds for item in predictions])


def _sum_budget(section: Section, row: FoldedRow, limit: float) -> float | None:
    predictions = _predictions(section, row)
    if predictions is None:
        return None
    found = [share_of_budget(item.error, limit) for item in predictions]
    present = [share for share in found if share is not None]
    return sum(present) if len(present) == len(found) else None


def _speed(section: Section, row: FoldedRow, time: Quantity | None) -> str:
    predictions = _predictions(section, row) or ()
    stored = [item.stored_seconds.value for item in predictions if item.stored_seconds]
    if time is None or len(stored) < len(predictions) or not stored or time.value <= 0:
        return ""
    return format_ratio(sum(stored) / time.value)
