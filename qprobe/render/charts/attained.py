"""Measured kernels as points under a roofline: operations per byte, and the rate that was reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qprobe.documents.objective import Objective
from qprobe.documents.plan import GroupPlan, Plan, Section
from qprobe.documents.profile import KernelFact, Measurement, Profile, Shape
from qprobe.documents.roofline import Work, linear_work
from qprobe.documents.scheme import SCHEMES
from qprobe.render.charts.scale import is_drawable

MAX_POINTS = 240
"""More cannot be told apart."""


@dataclass(frozen=True, slots=True)
class Attained:
    """One measured kernel on one shape."""

    measurement: Measurement
    work: Work
    is_chosen: bool
    """Whether the plan runs this shape so."""

    @property
    def intensity(self) -> float:
        """Operations per byte moved."""
        return self.work.ops / self.work.moved_bytes

    @property
    def ops_per_s(self) -> float:
        """The rate that was reached."""
        return self.work.ops / self.measurement.median_s

    def share_of_roof(self, profile: Profile) -> float | None:
        """Attained over attainable by the profile's bandwidth and peak; None where they are unknown.

        Above 1 where the data stays in a cache, which is faster than the memory.
        """
        peak = profile.peaks.get(self.work.unit)
        bandwidth = profile.copy_bandwidth_bytes_per_s
        if peak is None or bandwidth is None:
            return None
        return self.ops_per_s / min(peak.ops_per_s, self.intensity * bandwidth)


IsChosen = Callable[[Measurement], bool]


def points_of_plan(plan: Plan, section: Section, profile: Profile) -> list[Attained]:
    """The shapes of the plan's request: the fastest kernel of each scheme, and what was chosen."""
    sizes = {(item.n, item.k) for item in plan.assignments}
    rows = _rows_of(plan.objective)
    of_plan = [
        item
        for item in profile.measurements
        if (item.cell.shape.n, item.cell.shape.k) in sizes
        and item.cell.activation_dtype == section.compute_dtype
    ]
    at_request = {item.cell.shape for item in of_plan if item.cell.shape.m in rows}
    met = {(shape.n, shape.k) for shape in at_request}
    wanted = [
        item
        for item in of_plan
        if item.cell.shape in at_request or (item.cell.shape.n, item.cell.shape.k) not in met
    ]
    return _points(wanted, profile, _chosen_by(plan, section))


def points_of_profile(profile: Profile) -> list[Attained]:
    """Every shape that was measured: the fastest kernel of each scheme."""
    return _points(profile.measurements, profile, lambda _item: False)


def _points(
    measurements: Iterable[Measurement], profile: Profile, is_chosen: IsChosen
) -> list[Attained]:
    facts = profile.kernel_facts()
    fastest: dict[tuple[Shape, str], Measurement] = {}
    chosen: list[Measurement] = []
    for item in measurements:
        cell = item.cell
        if item.median_s <= 0 or cell.scheme not in SCHEMES or cell.kernel not in facts:
            continue
        if is_chosen(item):
            chosen.append(item)
        key = (cell.shape, cell.scheme)
        if key not in fastest or item.median_s < fastest[key].median_s:
            fastest[key] = item
    kept = {id(item): item for item in (*chosen, *fastest.values())}
    named = {id(item) for item in chosen}
    found = sorted(kept.values(), key=_order)
    if len(found) > MAX_POINTS:
        found = [item for item in found if id(item) in named] + _thin(
            [item for item in found if id(item) not in named], MAX_POINTS
        )
    points = [
        Attained(item, work_of(item, facts[item.cell.kernel]), id(item) in named) for item in found
    ]
    return [point for point in points if is_drawable(point.intensity, point.ops_per_s)]


def work_of(item: Measurement, fact: KernelFact) -> Work:
    """What a measured call moves and computes."""
    cell = item.cell
    return linear_work(SCHEMES[cell.scheme], fact, cell.activation_dtype, cell.shape)


def _order(item: Measurement) -> tuple[int, int, int, float, str]:
    shape = item.cell.shape
    return shape.n * shape.k, shape.n, shape.m, item.median_s, item.cell.scheme


def _thin(items: Sequence[Measurement], most: int) -> list[Measurement]:
    """Whole shapes, evenly spread over all, until there are enough."""
    shapes = list(dict.fromkeys(item.cell.shape for item in items))
    per_shape = max(1, len(items) // len(shapes))
    stride = -(-len(shapes) * per_shape // most)
    kept = set(shapes[::stride])
    return [item for item in items if item.cell.shape in kept][:most]


def _rows_of(objective: Objective) -> set[int]:
    """The M of most linears in the request: every token, or one a sequence."""
    return {objective.batch * objective.prompt, objective.batch}


def _chosen_by(plan: Plan, section: Section) -> IsChosen:
    decisions: dict[tuple[int, int], list[GroupPlan]] = {}
    seen: set[tuple[int, int, str, tuple[object, ...]]] = set()
    for assignment in plan.assignments:
        decision = section.groups[assignment.group]
        key = (assignment.n, assignment.k, decision.scheme.name, decision.kernels)
        if key not in seen:
            seen.add(key)
            decisions.setdefault((assignment.n, assignment.k), []).append(decision)

    def is_chosen(item: Measurement) -> bool:
        shape = item.cell.shape
        return any(
            decision.scheme.name == item.cell.scheme
            and _kernel_at(decision, shape.m) == item.cell.kernel
            for decision in decisions.get((shape.n, shape.k), ())
        )

    return is_chosen


def _kernel_at(decision: GroupPlan, m: int) -> str:
    return next(r.kernel for r in decision.kernels if r.m_max is None or m <= r.m_max)
