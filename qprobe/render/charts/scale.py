"""Axes: values to places, and the ticks that people read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)

LEAST, MOST = 1e-100, 1e100
"""What lies beyond cannot be drawn; such figures come only from documents that nobody measured."""


def is_drawable(*values: float) -> bool:
    """Whether all the values have a place on some axis."""
    return all(value == 0 or LEAST <= value <= MOST for value in values)


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from `low` to `high` onto places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    unit: float = 1.0
    """What ticks are round multiples of: 2²⁰ for bytes that are told in MiB."""

    def place(self, value: float) -> float:
        """Where a value is; those outside stay at the edge."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> tuple[float, ...]:
        """Round values, at most about as many as asked for."""
        low, high = self.low / self.unit, self.high / self.unit
        found = _log_ticks(low, high, about) if self.is_log else _even_ticks(low, high, about)
        return tuple(value * self.unit for value in found)


def _even_ticks(low: float, high: float, about: int) -> list[float]:
    size = 10.0 ** math.floor(math.log10((high - low) / about))
    step = next((size * s for s in _STEPS if (high - low) / (size * s) <= about), size * 10)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, about: int) -> list[float]:
    lowest, highest = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [
            digit * 10.0**exponent
            for exponent in range(lowest, highest + 1)
            for digit in digits
            if low * (1 - 1e-9) <= digit * 10.0**exponent <= high * (1 + 1e-9)
        ]
        if len(found) <= about + 1:
            return found
    stride = math.ceil(len(found) / about)
    return found[::stride]


def even_scale(values: Iterable[float], start: float, end: float) -> Scale:
    """From 0 to a round value above all."""
    top = max(values, default=0.0)
    if top <= 0:
        return Scale(0.0, 1.0, start, end)
    size = 10.0 ** math.floor(math.log10(top))
    high = next(size * s for s in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if size * s >= top * (1 - 1e-9))
    return Scale(0.0, high, start, end)


def near_scale(values: Iterable[float], start: float, end: float, unit: float = 1.0) -> Scale:
    """Around the values: logarithmic where they differ much, else even and not from 0."""
    positive = [value for value in values if value > 0] or [1.0]
    if max(positive) / min(positive) >= 5:
        return replace(log_scale(positive, start, end), unit=unit)
    low, high = min(positive), max(positive)
    margin = 0.08 * (high - low) or 0.1 * high
    return Scale(max(0.0, low - margin), high + margin, start, end, unit=unit)


def log_scale(values: Iterable[float], start: float, end: float, margin: float = 1.15) -> Scale:
    """From a little below the least positive value to a little above the largest."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive) / margin, max(positive) * margin
    if high / low < 2:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(2), middle * math.sqrt(2)
    return Scale(low, high, start, end, is_log=True)


def tick_text(value: float, unit: Callable[[float], str]) -> str:
    """A tick as its formatter writes it, without the zeros that a round figure does not need."""
    if value == 0:
        return "0"
    number, space, name = unit(value).partition(" ")
    try:
        return f"{float(number):g}{space}{name}"
    except ValueError:
        return unit(value)
