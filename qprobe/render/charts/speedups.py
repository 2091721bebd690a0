"""How fast each method is beside the fastest unquantized layer: a row a method, a mark an M."""

from __future__ import annotations

from collections.abc import Sequence

from qprobe.documents.finding import Speed, Verdict
from qprobe.render.charts.axes import Frame, axis_across
from qprobe.render.charts.drawing import Box, Chart, Drawing, Item, Path, Symbol, Words, text_width
from qprobe.render.charts.scale import Scale, is_drawable
from qprobe.render.units import format_ratio, format_seconds

_NARROW, _WIDE = 344.0, 720.0
MOST_ROWS = 60
LEAST_RATIO = 1 / 20
"""Slower ones stand at the left edge."""
_SHAPES = ("circle", "square", "up", "diamond", "hexagon", "down")
"""Of the M's, the smallest first; there are never so many."""
_TOP, _LANE = 10.0, 7.0


def drawn_methods(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The methods that the chart has a row for, those that are fastest at the smallest M first."""
    timed = [item for item in verdicts if item.speeds and _can_draw(item.speeds)]
    found = sorted(timed, key=lambda item: -min(item.speeds, key=lambda speed: speed.m).ratio)
    return found[:MOST_ROWS]


def speedup_chart(verdicts: Sequence[Verdict]) -> Chart | None:
    """The methods of one device that were timed."""
    rows = drawn_methods(verdicts)
    return Chart(narrow=_draw(rows, _NARROW), wide=_draw(rows, _WIDE)) if rows else None


def shapes_of_m(drawn: Sequence[Verdict]) -> dict[int, str]:
    """M → the shape of its marks, by the methods that are drawn."""
    every = sorted({speed.m for item in drawn for speed in item.speeds})
    return {m: _SHAPES[min(index, len(_SHAPES) - 1)] for index, m in enumerate(every)}


def _can_draw(speeds: Sequence[Speed]) -> bool:
    return all(is_drawable(s.ratio, s.ratio_low, s.ratio_high) and s.ratio > 0 for s in speeds)


def _draw(rows: Sequence[Verdict], width: float) -> Drawing:
    shapes = shapes_of_m(rows)
    is_narrow = width == _NARROW
    row_height = max(20.0, _LANE * len(shapes) + 5) + (14.0 if is_narrow else 0.0)
    names = max(text_width(item.method) for item in rows) + 14
    left = 6.0 if is_narrow else min(names, width / 2)
    bottom = _TOP + row_height * len(rows)
    frame = Frame(left, _TOP, width - 10, bottom)
    highest = max(speed.ratio_high for item in rows for speed in item.speeds)
    lowest = min(speed.ratio_low for item in rows for speed in item.speeds)
    low = max(LEAST_RATIO, min(lowest * 0.9, 0.5))
    scale = Scale(low, max(highest * 1.1, 2.0), frame.left, frame.right, is_log=True)
    one = scale.place(1.0)
    items: list[Item] = [Box(frame.left, _TOP, one - frame.left, bottom - _TOP, "beyond")]
    title = "times as fast as unquantized"
    items += axis_across(frame, scale, title, lambda value: f"{value:g}×")
    items.append(Path(((one, _TOP), (one, bottom)), "roof"))
    for index, item in enumerate(rows):
        top = _TOP + row_height * index
        if index:
            items.append(Path(((0, top), (frame.right, top)), "grid"))
        if is_narrow:
            items.append(Words(frame.left, top + 12, item.method, "label"))
            top += 14
            lanes = row_height - 14
        else:
            lanes = row_height
            items.append(Words(left - 8, top + lanes / 2 + 4, item.method, "label", "end"))
        items += _marks(item, shapes, scale, top, lanes)
    return Drawing(
        width,
        bottom + 40,
        "Speed of each method against unquantized",
        f"{len(rows)} methods. The table below holds the figures.",
        tuple(items),
    )


def _marks(
    item: Verdict, shapes: dict[int, str], scale: Scale, top: float, height: float
) -> list[Item]:
    order = list(shapes)
    items: list[Item] = []
    first = top + (height - _LANE * (len(order) - 1)) / 2
    for speed in item.speeds:
        y = first + _LANE * order.index(speed.m)
        side = side_of(speed)
        ends = (scale.place(speed.ratio_low), y), (scale.place(speed.ratio_high), y)
        items.append(Path(ends, f"whisker {side}"))
        fill = "hollow" if side == "undecided" else "solid"
        tip = (
            f"{item.method} at M = {speed.m}: {format_ratio(speed.ratio)} as fast as unquantized "
            f"({format_seconds(speed.median_s)} against {format_seconds(speed.unquantized_s)})"
        )
        shape = shapes[speed.m]
        items.append(Symbol(scale.place(speed.ratio), y, shape, f"{side} {fill}", 4.2, tip))
    return items


def side_of(speed: Speed) -> str:
    """Whether it is faster beyond doubt, slower, or neither."""
    if speed.is_disturbed:
        return "undecided"
    if speed.ratio_low > 1:
        return "faster"
    return "slower" if speed.ratio_high < 1 else "undecided"
