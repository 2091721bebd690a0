"""Puts labels where they cover nothing: beside their point, else further off with a line to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qprobe.render.charts.drawing import LINE_HEIGHT, Anchor, Item, Path, Point, Words, text_width

_ASCENT = 10.0
_REACHES = (9.0, 16.0, 26.0, 38.0, 52.0)
_LEADER_FROM = 16.0
_DIRECTIONS = tuple(math.radians(angle) for angle in (0, 180, -90, 90, -35, 35, -145, 145, -65, 65))


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle that is taken, or that must be kept to."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Area) -> bool:
        """Whether the two share any place."""
        return not (
            self.right <= other.left
            or other.right <= self.left
            or self.bottom <= other.top
            or other.bottom <= self.top
        )

    def holds(self, other: Area) -> bool:
        """Whether the other lies inside."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )


@dataclass(frozen=True, slots=True)
class Label:
    """Words that belong to a point."""

    at: Point
    text: str
    look: str = "label"


def area_of(words: Words) -> Area:
    """Where the words are, if they are not turned."""
    width = text_width(words.text)
    left = words.x - {"start": 0.0, "middle": width / 2, "end": width}[words.anchor]
    return Area(left, words.y - _ASCENT, left + width, words.y - _ASCENT + LINE_HEIGHT)


def around(point: Point, radius: float) -> Area:
    """The square about a point."""
    x, y = point
    return Area(x - radius, y - radius, x + radius, y + radius)


def place_labels(
    labels: Sequence[Label], taken: Iterable[Area], bounds: Area
) -> tuple[list[Item], list[Label]]:
    """The words and lines that fit, the first label first, and the labels that found no place."""
    areas = list(taken)
    items: list[Item] = []
    left_out: list[Label] = []
    for label in labels:
        spot = next(
            (
                (words, reach)
                for words, reach in _spots(label)
                if bounds.holds(area_of(words))
                and not any(area_of(words).overlaps(area) for area in areas)
            ),
            None,
        )
        if spot is None:
            left_out.append(label)
            continue
        words, reach = spot
        area = area_of(words)
        areas.append(area)
        if reach >= _LEADER_FROM:
            items.append(Path((label.at, _nearest(area, label.at)), "leader"))
        items.append(words)
    return items, left_out


def _spots(label: Label) -> Iterator[tuple[Words, float]]:
    """The places to try, the nearest first."""
    x, y = label.at
    for reach in _REACHES:
        for angle in _DIRECTIONS:
            dx, dy = reach * math.cos(angle), reach * math.sin(angle)
            anchor: Anchor = "end" if dx < -1 else "start" if dx > 1 else "middle"
            baseline = y + dy + (_ASCENT - 2 if dy > 1 else 0 if dy < -1 else 4)
            yield Words(x + dx, baseline, label.text, label.look, anchor), reach


def _nearest(area: Area, point: Point) -> Point:
    x, y = point
    return min(max(x, area.left), area.right), min(max(y, area.top), area.bottom - 2)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places moved apart to `gap`, in their order, between `low` and `high` where there is room."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [places[index] for index in order]
    moved[:1] = [max(low, place) for place in moved[:1]]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    if moved and moved[-1] > high:
        moved[-1] = high
        for i in range(len(moved) - 2, -1, -1):
            moved[i] = min(moved[i], moved[i + 1] - gap)
    if moved and moved[0] < low:
        step = (high - low) / (len(moved) - 1)
        moved = [low + i * step for i in range(len(moved))]
    found = [0.0] * len(places)
    for place, index in zip(moved, order, strict=True):
        found[index] = place
    return found
