"""Figures with where they come from, and shares as bars, as the templates show them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qprobe.documents.base import Provenance, Quantity
from qprobe.render.charts.costs import percent
from qprobe.render.charts.families import Family
from qprobe.render.charts.scale import MOST
from qprobe.render.units import format_quantity, format_uncertainty

PROVENANCE_MARKS: dict[Provenance, str] = {"measured": "●", "recorded": "◐", "modelled": "○"}
PROVENANCES: tuple[tuple[Provenance, str], ...] = (
    ("measured", "timed on this very device; half of p20 to p80 as ±"),
    ("recorded", "timed on a device with the same fingerprint"),
    (
        "modelled",
        "worked out from bandwidth, peaks and sizes; shown as the interval that it stands for",
    ),
)


@dataclass(frozen=True, slots=True)
class Known:
    """A figure in words, and how it is known."""

    text: str
    provenance: Provenance
    how: str
    """measured, ±4 %."""

    @property
    def mark(self) -> str:
        """The provenance as a sign."""
        return PROVENANCE_MARKS[self.provenance]


def known(quantity: Quantity, unit: Callable[[float], str]) -> Known:
    """A quantity for people."""
    return Known(format_quantity(quantity, unit), quantity.provenance, format_uncertainty(quantity))


def add(quantities: Sequence[Quantity]) -> Quantity:
    """The sum, as well known as its worst part; errors in step with one another."""
    order = tuple(PROVENANCE_MARKS)
    most = sys.float_info.max
    total = max(-most, min(sum(item.value for item in quantities), most))
    doubt = sum(abs(item.value) * item.uncertainty for item in quantities)
    return Quantity(
        value=total,
        provenance=max((item.provenance for item in quantities), key=order.index),
        uncertainty=min(doubt / total, most) if total > 0 else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a bar that shows a whole."""

    label: str
    text: str
    percent: str
    look: str
    shape: str
    start: float
    width: float
    """Both in per mille of the bar."""


@dataclass(frozen=True, slots=True)
class Bar:
    """Pieces beside one another."""

    parts: tuple[Part, ...]
    limit: float | None = None
    """Where the whole ends, in per mille of the bar; None where the pieces are no more than it."""


def stack(
    pieces: Iterable[tuple[str, str, float, Family | str]], whole: float | None = None
) -> Bar:
    """Pieces of (label, figure, amount, family or look) as shares of a whole, which is their sum unless given."""
    present = [
        (label, text, min(amount, MOST), kind) for label, text, amount, kind in pieces if amount > 0
    ]
    total = sum(amount for _, _, amount, _ in present)
    whole = whole or total
    exceeds = total > whole * (1 + 1e-6)
    length = total if exceeds else whole
    parts: list[Part] = []
    start = 0.0
    for label, text, amount, kind in present:
        look, shape = (kind, "square") if isinstance(kind, str) else (kind.look, kind.shape)
        parts.append(
            Part(
                label,
                text,
                percent(amount / whole),
                look,
                shape,
                round(1000 * start, 1),
                round(1000 * amount / length, 1),
            )
        )
        start += amount / length
    return Bar(tuple(parts), round(1000 * whole / length, 1) if exceeds else None)


def shares(values: Sequence[float]) -> tuple[float, ...]:
    """Each over the largest, in per cent: the lengths of bars beside one another."""
    top = max((min(value, MOST) for value in values), default=0.0)
    return tuple(round(100 * min(value, MOST) / top, 1) if top > 0 else 0.0 for value in values)
