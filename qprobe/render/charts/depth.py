"""The groups in the checkpoint's order: the time and the error that each takes, and its scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qprobe.render.charts.axes import Frame, axis_up
from qprobe.render.charts.costs import Column, GroupCost, columns_of
from qprobe.render.charts.drawing import Box, Chart, Drawing, Item, Path, Symbol, Words, text_width
from qprobe.render.charts.families import family_of
from qprobe.render.charts.scale import Scale, even_scale, is_drawable, tick_text
from qprobe.render.units import format_seconds

_NARROW, _WIDE = 344.0, 720.0
_TIME_HEIGHT, _ERROR_HEIGHT, _LANE_HEIGHT = 120.0, 90.0, 20.0
_TITLE = 28.0
_LEAST_STEP = {_NARROW: 5.0, _WIDE: 6.0}
_LEAST_TICK = 26.0
_STRIDES = tuple(digit * 10**exponent for exponent in range(20) for digit in (1, 2, 5))


def depth_chart(groups: Sequence[GroupCost]) -> Chart | None:
    """Time and error over depth; None for a single group, which needs no chart, and without figures."""
    figures = [(item.seconds, item.stored_seconds or 0.0, item.budget or 0.0) for item in groups]
    if len(groups) < 2 or not all(is_drawable(*three) for three in figures):
        return None
    return Chart(narrow=_draw(groups, _NARROW), wide=_draw(groups, _WIDE))


def _draw(groups: Sequence[GroupCost], width: float) -> Drawing:
    lanes = list(dict.fromkeys(item.scheme for item in groups))
    left = max(58.0, max(text_width(scheme) for scheme in lanes) + 24)
    right = width - 8
    columns = columns_of(groups, int((right - left) / _LEAST_STEP[width]))
    step = (right - left) / len(columns)
    places = [left + step * i for i in range(len(columns))]
    time = Frame(left, _TITLE, right, _TITLE + _TIME_HEIGHT)
    items = _time_panel(time, columns, places, step)
    bottom = time.bottom
    if any(column.budget for column in columns):
        error = Frame(left, bottom + _TITLE + 6, right, bottom + _TITLE + 6 + _ERROR_HEIGHT)
        items += _error_panel(error, columns, places, step)
        bottom = error.bottom
    top_of_lanes = bottom + 14
    items += _lanes(lanes, columns, places, step, top_of_lanes)
    bottom = top_of_lanes + _LANE_HEIGHT * len(lanes)
    items += _depths(columns, places, step, time.top, bottom, right)
    merged = f", {len(columns[0].groups)} in a bar" if len(columns) < len(groups) else ""
    return Drawing(
        width,
        bottom + 38,
        "Time and error of each group of layers",
        f"{len(groups)} groups in the checkpoint's order{merged}. The table below holds the figures.",
        tuple(items),
    )


def _time_panel(
    frame: Frame, columns: Sequence[Column], places: Sequence[float], step: float
) -> list[Item]:
    tops = [max(sum(c.seconds.values()), c.stored_seconds or 0.0) for c in columns]
    scale = even_scale(tops, frame.bottom, frame.top)
    items = axis_up(
        frame, scale, "time; outlined: as stored", lambda v: tick_text(v, format_seconds)
    )
    for column, place in zip(columns, places, strict=True):
        if column.stored_seconds:
            width = max(1.0, step * 0.86)
            top = scale.place(column.stored_seconds)
            at = place + (step - width) / 2
            items.append(Box(at, top, width, scale.start - top, "before", column.tip))
        items += _stacked(column.seconds, scale, place, step, column.tip)
    return items


def _error_panel(
    frame: Frame, columns: Sequence[Column], places: Sequence[float], step: float
) -> list[Item]:
    tops = [sum(column.budget.values()) for column in columns]
    scale = even_scale(tops, frame.bottom, frame.top)
    items = axis_up(frame, scale, "share of the error budget", lambda v: f"{100 * v:g} %")
    for column, place in zip(columns, places, strict=True):
        items += _stacked(column.budget, scale, place, step, column.tip)
    return items


def _stacked(
    amounts: Mapping[str, float], scale: Scale, place: float, step: float, tip: str
) -> list[Item]:
    """The schemes' amounts on top of one another."""
    width = max(1.0, step * 0.62)
    items: list[Item] = []
    below = 0.0
    for scheme, amount in amounts.items():
        if amount:
            bottom, top = scale.place(below), scale.place(below + amount)
            look = f"{family_of(scheme).look} filled"
            at = place + (step - width) / 2
            items.append(Box(at, top, width, max(0.5, bottom - top), look, tip))
        below += amount
    return items


def _lanes(
    lanes: Sequence[str],
    columns: Sequence[Column],
    places: Sequence[float],
    step: float,
    top: float,
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
        for column, place in zip(columns, places, strict=True):
            if scheme in column.seconds:
                width = max(1.0, step * 0.62)
                at = place + (step - width) / 2
                items.append(Box(at, middle - 5, width, 10, f"{family.look} filled", column.tip))
    return items


def _depths(
    columns: Sequence[Column],
    places: Sequence[float],
    step: float,
    top: float,
    bottom: float,
    right: float,
) -> list[Item]:
    """Where each layer of the model begins, and its number where there is room."""
    items: list[Item] = []
    starts = [i for i, c in enumerate(columns) if i == 0 or c.depth != columns[i - 1].depth]
    room = (right - places[0]) / len(starts)
    stride = next(s for s in _STRIDES if s * room >= _LEAST_TICK)
    shown: set[int] = set()
    free_from = 0.0
    for start, end in zip(starts, [*starts[1:], len(columns)], strict=True):
        depth = columns[start].depth
        if start and room >= _LEAST_TICK:
            items.append(Path(((places[start], top), (places[start], bottom)), "divider"))
        middle = places[start] + step * (end - start) / 2
        half = text_width(depth) / 2
        if depth and int(depth) // stride not in shown and middle - half >= free_from:
            shown.add(int(depth) // stride)
            free_from = middle + half + 6
            items.append(Words(middle, bottom + 15, depth, "tick", "middle"))
    items.append(
        Words((places[0] + right) / 2, bottom + 32, "layer of the model", "axis-title", "middle")
    )
    return items
