"""What the plan and every uniform way cost, over the error that each brings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qprobe.documents.base import Quantity
from qprobe.documents.objective import Objective
from qprobe.documents.plan import Predicted, Section
from qprobe.render.charts.axes import Frame, TickText, axis_across, axis_up
from qprobe.render.charts.drawing import Box, Chart, Drawing, Item, Path, Point, Symbol, Words
from qprobe.render.charts.families import family_of
from qprobe.render.charts.labels import Area, Label, around, place_labels
from qprobe.render.charts.scale import Scale, is_drawable, log_scale, near_scale, tick_text
from qprobe.render.units import format_bytes, format_error, format_quantity, format_seconds

_NARROW, _WIDE = (344.0, 320.0), (520.0, 380.0)
_EXACT_LANE = 46.0
"""Room for what has no error at all, which a logarithmic axis cannot hold."""
PLAN = "this plan"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the model: the plan, or all groups alike."""

    name: str
    is_feasible: bool
    cost: Quantity
    error: float
    """0 for the model as stored."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What is on the upright axis."""

    title: str
    of: Callable[[Predicted], Quantity]
    unit: Callable[[float], str]
    limit: float | None = None
    step: float = 1.0
    """1024 for bytes, which are told in powers of it."""

    def unit_of(self, value: float) -> float:
        """What ticks about a value are multiples of."""
        return self.step ** math.floor(math.log(value, self.step)) if self.step > 1 else 1.0


def time_chart(section: Section, objective: Objective) -> Chart | None:
    """Seconds of the request over the error."""
    cost = Cost("time of a request", lambda predicted: predicted.seconds, format_seconds)
    return _chart(section, objective, cost)


def memory_chart(section: Section, objective: Objective) -> Chart | None:
    """Memory at the peak over the error."""
    cost = Cost(
        "memory at the peak",
        lambda predicted: predicted.memory_bytes,
        format_bytes,
        objective.memory_limit_bytes,
        step=1024.0,
    )
    return _chart(section, objective, cost)


def ways_of(section: Section, of: Callable[[Predicted], Quantity]) -> list[Way]:
    """The plan first, then each alternative of which cost and error are known."""
    every = [(PLAN, True, section.predicted)]
    every += [(a.name, a.feasible, a.predicted) for a in section.alternatives if a.predicted]
    found = [
        Way(name, feasible, of(predicted), predicted.error.value)
        for name, feasible, predicted in every
        if predicted.error is not None and of(predicted).value > 0
    ]
    return [way for way in found if is_drawable(way.error, way.cost.value, *_ends(way.cost))]


def _chart(section: Section, objective: Objective, cost: Cost) -> Chart | None:
    ways = ways_of(section, cost.of)
    if len(ways) < 2 or not is_drawable(objective.error_limit.value):
        return None
    narrow, wide = (_draw(ways, objective, cost, size) for size in (_NARROW, _WIDE))
    return Chart(narrow, wide)


def _draw(
    ways: Sequence[Way], objective: Objective, cost: Cost, size: tuple[float, float]
) -> Drawing:
    width, height = size
    limit = objective.error_limit.value
    lane = _EXACT_LANE if any(way.error == 0 for way in ways) else 0.0
    frame = Frame(left=66, top=28, right=width - 12, bottom=height - 44)
    errors = [way.error for way in ways if way.error > 0] + [limit]
    x = log_scale(errors, frame.left + lane, frame.right - 8, margin=1.5)
    ends = [end for way in ways for end in _ends(way.cost)]
    y = near_scale(ends, frame.bottom, frame.top, cost.unit_of(max(ends)))
    items = _beyond(frame, x, limit)
    items += axis_across(frame, x, "error at the output", _error_tick)
    items += axis_up(frame, y, cost.title, _tick(cost))
    if lane:
        middle = frame.left + lane / 2
        items.append(Words(middle, frame.bottom + 15, "0", "tick", "middle"))
        gap = frame.left + lane - 6
        items += [
            Path(((gap + d, frame.bottom + 4), (gap + d + 4, frame.bottom - 4)), "axis")
            for d in (0, 4)
        ]
    taken = []
    if limit > 0:
        taken.append(Area(x.place(limit) - 2, frame.top, x.place(limit) + 2, frame.bottom))
    if cost.limit is not None and y.low < cost.limit < y.high:
        at = y.place(cost.limit)
        items.append(Path(((frame.left, at), (frame.right, at)), "limit"))
        items.append(Words(frame.left + 4, at - 5, "limit", "label limit-words"))
        taken.append(Area(frame.left, at - 16, frame.left + 40, at + 2))
    spots = [
        (x.place(way.error) if way.error > 0 else frame.left + lane / 2, y.place(way.cost.value))
        for way in ways
    ]
    items.append(_front(spots, frame.right))
    for way, (left, _top) in zip(ways, spots, strict=True):
        items += _whisker(way, left, y)
    for way, spot in reversed(list(zip(ways, spots, strict=True))):
        items.append(_symbol(way, spot, cost))
    taken += [around(spot, 6.0) for spot in spots]
    taken += [
        Area(left - 2, y.place(high), left + 2, y.place(low))
        for (left, _top), (low, high) in zip(spots, map(_ends, (w.cost for w in ways)), strict=True)
    ]
    labels = [
        Label(spot, way.name, "label strong" if way.name == PLAN else "label")
        for way, spot in zip(ways, spots, strict=True)
    ]
    if limit > 0:
        labels.append(
            Label(
                (x.place(limit), frame.top + 6), f"limit {format_error(limit)}", "label limit-words"
            )
        )
    items += place_labels(labels, taken, frame.area)[0]
    return Drawing(
        width,
        height,
        f"{cost.title.capitalize()} against error",
        _words(ways, cost, limit),
        tuple(items),
    )


def _ends(cost: Quantity) -> tuple[float, float]:
    return cost.value * max(0.0, 1 - cost.uncertainty), cost.value * (1 + cost.uncertainty)


def _beyond(frame: Frame, x: Scale, limit: float) -> list[Item]:
    """What lies beyond the limit of the error."""
    if limit <= 0:
        return []
    at = x.place(limit)
    return [
        Box(at, frame.top, frame.right - at, frame.bottom - frame.top, "beyond"),
        Path(((at, frame.top), (at, frame.bottom)), "limit"),
    ]


def _front(spots: Sequence[Point], right: float) -> Path:
    """The least cost at each error, as steps: what a greater error buys."""
    corners: list[Point] = []
    for left, top in sorted(spots, key=lambda spot: (spot[0], -spot[1])):
        if corners and top <= corners[-1][1]:
            continue
        if corners:
            corners.append((left, corners[-1][1]))
        corners.append((left, top))
    return Path((*corners, (right, corners[-1][1])), "front")


def _whisker(way: Way, left: float, y: Scale) -> list[Item]:
    """How sure the cost is."""
    if way.cost.uncertainty == 0:
        return []
    low, high = (y.place(end) for end in _ends(way.cost))
    look = f"whisker {family_of(way.name).look}"
    ends = [Path(((left - 3, at), (left + 3, at)), look) for at in (low, high)]
    return [Path(((left, low), (left, high)), look), *ends]


def _symbol(way: Way, spot: Point, cost: Cost) -> Symbol:
    tip = f"{way.name}: {format_quantity(way.cost, cost.unit)}, error {format_error(way.error)}"
    if way.name == PLAN:
        return Symbol(*spot, "star", "plan solid", 8.0, tip)
    family = family_of(way.name)
    if way.is_feasible:
        return Symbol(*spot, family.shape, f"{family.look} solid", 5.5, tip)
    return Symbol(*spot, family.shape, f"{family.look} hollow", 5.5, f"{tip}, not feasible")


def _error_tick(value: float) -> str:
    return f"{value:g}" if value >= 1e-4 else f"{value:.0e}"


def _tick(cost: Cost) -> TickText:
    return lambda value: tick_text(value, cost.unit)


def _words(ways: Sequence[Way], cost: Cost, limit: float) -> str:
    listed = "; ".join(
        f"{way.name} {format_quantity(way.cost, cost.unit)} at {format_error(way.error)}"
        f"{'' if way.is_feasible else ', not feasible'}"
        for way in ways
    )
    return f"{listed}. Limit of the error {format_error(limit)}."
