"""What a chart consists of: boxes, paths, symbols and words at places, each with a look.

A look names a class of the style sheet, which gives it a colour for light, for dark and for paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

LINE_HEIGHT = 14.0
"""Of the words in a chart, which are 11.5 units high."""
_LETTER_WIDTHS = {
    **dict.fromkeys(" .,:;'|!ijltfr()[]", 4.5),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ×", 8.6),
    **dict.fromkeys("MWmw%", 11.4),
}
"""In the widest of the usual fonts; what is not here is `_OTHER_WIDTH`."""
_OTHER_WIDTH = 7.6


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle from its upper left corner."""

    kind: ClassVar[str] = "box"
    x: float
    y: float
    width: float
    height: float
    look: str
    tip: str = ""
    """What a pointer is told."""


@dataclass(frozen=True, slots=True)
class Path:
    """A line through points, or the area that they enclose."""

    kind: ClassVar[str] = "path"
    points: tuple[Point, ...]
    look: str
    is_closed: bool = False

    @property
    def commands(self) -> str:
        """The points as SVG says them."""
        return path_through(self.points, is_closed=self.is_closed)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A small shape that is told from others without colour."""

    kind: ClassVar[str] = "symbol"
    x: float
    y: float
    shape: str
    look: str
    size: float = 5.0
    tip: str = ""

    @property
    def commands(self) -> str:
        """The outline around (x, y)."""
        corners = [
            (self.x + self.size * dx, self.y + self.size * dy) for dx, dy in SHAPES[self.shape]
        ]
        return path_through(corners, is_closed=True)


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; y is its baseline."""

    kind: ClassVar[str] = "words"
    x: float
    y: float
    text: str
    look: str = "label"
    anchor: Anchor = "start"
    is_upright: bool = False
    """Whether it is turned, to be read from below."""


Item = Box | Path | Symbol | Words


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart of one width; `title` and `description` are what those hear who do not see it."""

    width: float
    height: float
    title: str
    description: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """The same chart for a phone and for all that is wider."""

    narrow: Drawing
    wide: Drawing


def path_through(points: Sequence[Point], *, is_closed: bool) -> str:
    """`M x y L x y …`, to a tenth of a unit."""
    parts = [f"{_short(x)} {_short(y)}" for x, y in points]
    return f"M{'L'.join(parts)}{'Z' if is_closed else ''}"


def text_width(text: str) -> float:
    """About how wide words in a chart become, rather more than less."""
    return sum(_LETTER_WIDTHS.get(letter, _OTHER_WIDTH) for letter in text)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _polygon(corners: int, turn: float = 0.0, radius: float = 1.0) -> tuple[Point, ...]:
    angles = (2 * math.pi * (i + turn) / corners - math.pi / 2 for i in range(corners))
    return tuple((radius * math.cos(angle), radius * math.sin(angle)) for angle in angles)


def _star() -> tuple[Point, ...]:
    tips, dents = _polygon(5, radius=1.5), _polygon(5, turn=0.5, radius=0.65)
    return tuple(point for pair in zip(tips, dents, strict=True) for point in pair)


def _cross() -> tuple[Point, ...]:
    a, b = 0.38, 1.1
    return ((-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a),
            (-b, -a), (-a, -a))  # fmt: skip


SHAPES: dict[str, tuple[Point, ...]] = {
    "circle": _polygon(16),
    "square": _polygon(4, turn=0.5, radius=1.2),
    "diamond": _polygon(4, radius=1.3),
    "up": _polygon(3, radius=1.25),
    "down": _polygon(3, turn=0.5, radius=1.25),
    "hexagon": _polygon(6, radius=1.15),
    "cross": _cross(),
    "star": _star(),
}
"""Outlines around the origin, of about equal area."""
