"""The groups in the checkpoint's order: the time and the error that each takes, and its scheme."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qprobe.documents.plan import Plan, Section
from qprobe.render.charts.axes import Frame, axis_up
from qprobe.render.charts.drawing import Box, Chart, Drawing, Item, Path, Symbol, Words, text_width
from qprobe.render.charts.families import family_of
from qprobe.render.charts.scale import Scale, even_scale, is_drawable, tick_text
from qprobe.render.units import format_seconds

_NARROW, _WIDE = 344.0, 720.0
_TIME_HEIGHT, _ERROR_HEIGHT, _LANE_HEIGHT = 120.0, 90.0, 20.0
_TITLE = 28.0
_LEAST_BAR = {_NARROW: 5.0, _WIDE: 6.0}
_DEPTH = re.compile(r"(?:^|\.)(\d+)(?=\.|$)")


@dataclass(frozen=True, slots=True)
class Bar:
    """One group, or some that follow one another where there are too many to draw."""

    name: str
    depth: str
    """The first number in the name: which layer of the model it is of."""
    schemes: tuple[str, ...]
    seconds: float
    stored_seconds: float | None
    budget: float | None
    """Its share of the error power that the limit allows; None where it is not known."""

    @property
    def tip(self) -> str:
        """What a pointer is told."""
        before = f", as stored {format_seconds(self.stored_seconds)}" if self.stored_seconds else ""
        share = "" if self.budget is None else f", {percent(self.budget)} of the error budget"
        return (
            f"{self.name}: {', '.join(self.schemes)}, {format_seconds(self.seconds)}{before}{share}"
        )


def percent(share: float) -> str:
    """A share as people read it: 0 %, <0.1 %, 3.4 %, 62 %."""
    if 0 < share < 1e-3:
        return "<0.1 %"
    if share > 100:
        return ">10000 %"
    return f"{100 * share:.{0 if share >= 0.1 or share == 0 else 1}f} %"


def bars_of(plan: Plan, section: Section) -> list[Bar]:
    """A bar a group; empty where the plan does not say what each group takes."""
    limit = plan.objective.error_limit.value
    found: list[Bar] = []
    for group in dict.fromkeys(item.group for item in plan.assignments):
        decision = section.groups[group]
        predicted = decision.predicted
        if predicted is None:
            return []
        depth = _DEPTH.search(group)
        stored = predicted.stored_seconds
        found.append(
            Bar(
                name=group,
                depth=depth.group(1) if depth else "",
                schemes=(decision.scheme.name,),
                seconds=predicted.seconds.value,
                stored_seconds=None if stored is None else stored.value,
                budget=share_of_budget(predicted.error, limit),
            )
        )
    return found


def share_of_budget(error: float | None, limit: float) -> float | None:
    """Squares add, so the budget is the limit's square."""
    return None if error is None or limit == 0 else (error / limit) * (error / limit)


def depth_chart(bars: Sequence[Bar]) -> Chart | None:
    """Time and error over depth; None for a single group, which needs no chart, and without figures."""
    figures = [(bar.seconds, bar.stored_seconds or 0.0, bar.budget or 0.0) for bar in bars]
    if len(bars) < 2 or not all(is_drawable(*three) for three in figures):
        return None
    return Chart(narrow=_draw(bars, _NARROW), wide=_draw(bars, _WIDE))


def _draw(bars: Sequence[Bar], width: float) -> Drawing:
    lanes = list(dict.fromkeys(scheme for bar in bars for scheme in bar.schemes))
    left = max(58.0, max(text_width(scheme) for scheme in lanes) + 24)
    right = width - 8
    binned = _bin(bars, int((right - left) / _LEAST_BAR[width]))
    step = (right - left) / len(binned)
    places = [left + step * i for i in range(len(binned))]
    time = Frame(left, _TITLE, right, _TITLE + _TIME_HEIGHT)
    items = _time_panel(time, binned, places, step)
    bottom = time.bottom
    if any(bar.budget is not None for bar in binned):
        error = Frame(left, bottom + _TITLE + 6, right, bottom + _TITLE + 6 + _ERROR_HEIGHT)
        items += _error_panel(error, binned, places, step)
        bottom = error.bottom
    top_of_lanes = bottom + 14
    items += _lanes(lanes, binned, places, step, top_of_lanes)
    bottom = top_of_lanes + _LANE_HEIGHT * len(lanes)
    items += _depths(binned, places, step, time.top, bottom, right)
    merged = f", {-(-len(bars) // len(binned))} in a bar" if len(binned) < len(bars) else ""
    return Drawing(
        width,
        bottom + 38,
        "Time and error of each group of layers",
        f"{len(bars)} groups in the checkpoint's order{merged}. The table below holds the figures.",
        tuple(items),
    )


def _bin(bars: Sequence[Bar], most: int) -> list[Bar]:
    """Neighbours added up, so that no more than `most` are left."""
    size = -(-len(bars) // max(1, most))
    if size == 1:
        return list(bars)
    return [_add(bars[i : i + size]) for i in range(0, len(bars), size)]


def _add(bars: Sequence[Bar]) -> Bar:
    stored = [bar.stored_seconds for bar in bars if bar.stored_seconds is not None]
    budgets = [bar.budget for bar in bars if bar.budget is not None]
    return Bar(
        name=f"{bars[0].name} to {bars[-1].name}" if len(bars) > 1 else bars[0].name,
        depth=bars[0].depth,
        schemes=tuple(dict.fromkeys(scheme for bar in bars for scheme in bar.schemes)),
        seconds=sum(bar.seconds for bar in bars),
        stored_seconds=sum(stored) if len(stored) == len(bars) else None,
        budget=sum(budgets) if budgets else None,
    )


def _time_panel(
    frame: Frame, bars: Sequence[Bar], places: Sequence[float], step: float
) -> list[Item]:
    values = [bar.seconds for bar in bars] + [bar.stored_seconds or 0 for bar in bars]
    scale = even_scale(values, frame.bottom, frame.top)
    items = axis_up(
        frame, scale, "time; outlined: as stored", lambda v: tick_text(v, format_seconds)
    )
    for bar, place in zip(bars, places, strict=True):
        if bar.stored_seconds:
            items.append(_bar(scale, place, step, 0.86, bar.stored_seconds, "before", bar.tip))
        look = f"{family_of(bar.schemes[0]).look} filled"
        items.append(_bar(scale, place, step, 0.62, bar.seconds, look, bar.tip))
    return items


def _error_panel(
    frame: Frame, bars: Sequence[Bar], places: Sequence[float], step: float
) -> list[Item]:
    scale = even_scale([bar.budget or 0 for bar in bars], frame.bottom, frame.top)
    items = axis_up(frame, scale, "share of the error budget", lambda v: f"{100 * v:g} %")
    for bar, place in zip(bars, places, strict=True):
        if bar.budget:
            look = f"{family_of(bar.schemes[0]).look} filled"
            items.append(_bar(scale, place, step, 0.62, bar.budget, look, bar.tip))
    return items


def _bar(
    scale: Scale, place: float, step: float, share: float, value: float, look: str, tip: str
) -> Box:
    top = scale.place(value)
    width = max(1.0, step * share)
    return Box(place + (step - width) / 2, top, width, max(0.5, scale.start - top), look, tip)


def _lanes(
    lanes: Sequence[str], bars: Sequence[Bar], places: Sequence[float], step: float, top: float
) -> list[Item]:
    """A row a scheme with a mark at each group that has it: who reads no colour reads this."""
    items: list[Item] = []
    right = places[-1] + step
    for index, scheme in enumerate(lanes):
        middle = top + _LANE_HEIGHT * (index + 0.5)
        family = family_of(scheme)
        items.append(Symbol(8, middle, family.shape, f"{family.look} solid", 4.5))
        items.append(Words(18, middle + 4, scheme, "label"))
        items.append(Path(((places[0], middle), (right, middle)), "grid"))
        for bar, place in zip(bars, places, strict=True):
            if scheme in bar.schemes:
                width = max(1.0, step * 0.62)
                at = place + (step - width) / 2
                items.append(Box(at, middle - 5, width, 10, f"{family.look} filled", bar.tip))
    return items


def _depths(
    bars: Sequence[Bar],
    places: Sequence[float],
    step: float,
    top: float,
    bottom: float,
    right: float,
) -> list[Item]:
    """Where each layer of the model begins, and its number where there is room."""
    items: list[Item] = []
    free_from = 0.0
    starts = [i for i, bar in enumerate(bars) if i == 0 or bar.depth != bars[i - 1].depth]
    for start, end in zip(starts, [*starts[1:], len(bars)], strict=True):
        depth = bars[start].depth
        if start and step * (end - start) >= 6:
            items.append(Path(((places[start], top), (places[start], bottom)), "divider"))
        middle = places[start] + step * (end - start) / 2
        half = text_width(depth) / 2
        if depth and middle - half >= free_from:
            items.append(Words(middle, bottom + 15, depth, "tick", "middle"))
            free_from = middle + half + 8
    items.append(
        Words((places[0] + right) / 2, bottom + 32, "layer of the model", "axis-title", "middle")
    )
    return items
