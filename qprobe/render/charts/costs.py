"""What each group of a plan takes of the request's time and of the error that is allowed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qprobe.documents.plan import Plan, Section
from qprobe.render.units import format_seconds

_DEPTH = re.compile(r"(?:^|\.)([0-9]{1,6})(?=\.|$)")


@dataclass(frozen=True, slots=True)
class GroupCost:
    """One group under the plan."""

    name: str
    depth: str
    """The first number in the name: which layer of the model it is of."""
    scheme: str
    seconds: float
    stored_seconds: float | None
    budget: float | None
    """Its share of the error power that the limit allows; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Column:
    """Groups that follow one another and are drawn as one."""

    groups: tuple[GroupCost, ...]

    @property
    def depth(self) -> str:
        """Of the first."""
        return self.groups[0].depth

    @property
    def seconds(self) -> dict[str, float]:
        """Scheme → seconds of the groups that have it."""
        found: dict[str, float] = {}
        for group in self.groups:
            found[group.scheme] = found.get(group.scheme, 0.0) + group.seconds
        return found

    @property
    def stored_seconds(self) -> float | None:
        """Of all; None where one is not known."""
        known = [item.stored_seconds for item in self.groups if item.stored_seconds is not None]
        return sum(known) if len(known) == len(self.groups) else None

    @property
    def budget(self) -> dict[str, float]:
        """Scheme → its groups' share of the error budget, where that is known."""
        found: dict[str, float] = {}
        for group in self.groups:
            if group.budget is not None:
                found[group.scheme] = found.get(group.scheme, 0.0) + group.budget
        return found

    @property
    def tip(self) -> str:
        """What a pointer is told."""
        first, last = self.groups[0], self.groups[-1]
        name = first.name if first is last else f"{first.name} to {last.name}"
        parts = [", ".join(self.seconds), format_seconds(sum(self.seconds.values()))]
        if self.stored_seconds:
            parts.append(f"as stored {format_seconds(self.stored_seconds)}")
        if self.budget:
            parts.append(f"{percent(sum(self.budget.values()))} of the error budget")
        return f"{name}: {', '.join(parts)}"


def columns_of(groups: Sequence[GroupCost], most: int) -> list[Column]:
    """A column a group, or a few groups in each, so that there are no more than `most`."""
    size = -(-len(groups) // max(1, most))
    return [Column(tuple(groups[i : i + size])) for i in range(0, len(groups), size)]


def group_costs(plan: Plan, section: Section) -> list[GroupCost]:
    """Every group in the checkpoint's order; empty where the plan does not say what each takes."""
    limit = plan.objective.error_limit.value
    found: list[GroupCost] = []
    for group in dict.fromkeys(item.group for item in plan.assignments):
        decision = section.groups[group]
        predicted = decision.predicted
        if predicted is None:
            return []
        depth = _DEPTH.search(group)
        stored = predicted.stored_seconds
        found.append(
            GroupCost(
                name=group,
                depth=depth.group(1) if depth else "",
                scheme=decision.scheme.name,
                seconds=predicted.seconds.value,
                stored_seconds=None if stored is None else stored.value,
                budget=share_of_budget(predicted.error, limit),
            )
        )
    return found


def share_of_budget(error: float | None, limit: float) -> float | None:
    """Squares add, so the budget is the limit's square."""
    return None if error is None or limit == 0 else (error / limit) * (error / limit)


def percent(share: float) -> str:
    """A share as people read it: 0 %, <0.1 %, 3.4 %, 62 %."""
    if 0 < share < 1e-3:
        return "<0.1 %"
    if share > 100:
        return ">10000 %"
    return f"{100 * share:.{0 if share >= 0.1 or share == 0 else 1}f} %"
