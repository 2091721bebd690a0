"""The frame of a chart: its plane, grid lines with their figures, and what the axes are of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qprobe.render.charts.drawing import Item, Path, Words, text_width
from qprobe.render.charts.labels import Area
from qprobe.render.charts.scale import Scale

_ROOM_FOR_A_TICK = 58.0
_ROOM_FOR_A_ROW = 28.0

TickText = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Frame:
    """The plane that the marks lie in."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> Area:
        """The plane as labels must keep to it."""
        return Area(self.left + 2, self.top, self.right, self.bottom - 1)


def axis_across(frame: Frame, scale: Scale, title: str, text: TickText) -> list[Item]:
    """The lower axis: ticks that do not touch one another, and its title."""
    about = max(2, int((frame.right - frame.left) / _ROOM_FOR_A_TICK))
    items: list[Item] = []
    free_from = -1.0
    for value in scale.ticks(about):
        place, words = scale.place(value), text(value)
        items.append(Path(((place, frame.top), (place, frame.bottom)), "grid"))
        half = text_width(words) / 2
        if place - half >= free_from:
            items.append(Words(place, frame.bottom + 15, words, "tick", "middle"))
            free_from = place + half + 6
    items.append(Path(((frame.left, frame.bottom), (frame.right, frame.bottom)), "axis"))
    middle = (frame.left + frame.right) / 2
    items.append(Words(middle, frame.bottom + 33, title, "axis-title", "middle"))
    return items


def axis_up(frame: Frame, scale: Scale, title: str, text: TickText) -> list[Item]:
    """The left axis: ticks, and its title above them."""
    about = max(2, int((frame.bottom - frame.top) / _ROOM_FOR_A_ROW))
    items: list[Item] = []
    for value in scale.ticks(about):
        place = scale.place(value)
        items.append(Path(((frame.left, place), (frame.right, place)), "grid"))
        items.append(Words(frame.left - 6, place + 4, text(value), "tick", "end"))
    items.append(Words(2, frame.top - 10, title, "axis-title"))
    return items
