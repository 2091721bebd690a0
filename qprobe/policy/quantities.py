"""Sums of quantities, and how two are compared when only one was measured."""

from __future__ import annotations

from collections.abc import Iterable

from qprobe.documents.base import Provenance, Quantity

_ORDER: tuple[Provenance, ...] = ("measured", "recorded", "modelled")

NOTHING = Quantity(value=0.0, provenance="measured", uncertainty=0.0)


def add(parts: Iterable[tuple[int, Quantity]]) -> Quantity:
    """Σ times × quantity: as well known as its worst part, errors in step with one another."""
    counted = [(times, part) for times, part in parts if times and part.value]
    total = sum(times * part.value for times, part in counted)
    if not counted:
        return NOTHING
    doubt = sum(times * part.value * part.uncertainty for times, part in counted)
    worst = max((part.provenance for _, part in counted), key=_ORDER.index)
    return Quantity(value=total, provenance=worst, uncertainty=doubt / total)


def comparable(quantity: Quantity, *, beside_measured: bool) -> float:
    """The value to rank by: beside a measured one, a modelled one must win by its uncertainty."""
    if beside_measured and quantity.provenance == "modelled":
        return quantity.value * (1 + quantity.uncertainty)
    return quantity.value


def low(quantity: Quantity) -> float:
    """The least that the truth may be."""
    return quantity.value * max(0.0, 1 - quantity.uncertainty)


def high(quantity: Quantity) -> float:
    """The most that the truth may be."""
    return quantity.value * (1 + quantity.uncertainty)
