"""Figures as people read them: three digits and a unit; the only place where SI is left."""

from __future__ import annotations

import math
from collections.abc import Callable

from qprobe.documents.base import Quantity

_BYTES = (("B", 1), ("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30), ("TiB", 2**40))
_SECONDS = (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0))
_RATES = (("KB/s", 1e3), ("MB/s", 1e6), ("GB/s", 1e9), ("TB/s", 1e12))
_OPERATIONS = (("MOPS", 1e6), ("GOPS", 1e9), ("TOPS", 1e12), ("POPS", 1e15))


def format_digits(value: float) -> str:
    """Three significant digits without an exponent: 0.0123, 4.31, 86.6, 1234."""
    if value == 0:
        return "0"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    exponent = int(f"{value:.2e}".partition("e")[2])
    return f"{value:.{min(max(2 - exponent, 0), 9)}f}"


def _scale(value: float, units: tuple[tuple[str, float], ...], limit: float) -> tuple[str, float]:
    """The smallest unit in which the figure, as it will be shown, stays below `limit`."""
    for name, size in units[:-1]:
        shown = value / size
        if abs(shown) < 2 * limit and float(format_digits(shown)) < limit:
            return name, size
    return units[-1]


def _format(value: float, units: tuple[tuple[str, float], ...], limit: float = 1000) -> str:
    name, size = _scale(value, units, limit)
    return f"{format_digits(value / size)} {name}"


def format_seconds(seconds: float) -> str:
    """4.31 ms."""
    return "0 s" if seconds == 0 else _format(seconds, _SECONDS)


def format_bytes(count: float) -> str:
    """86.6 MiB; below a KiB, the exact count."""
    return f"{count:.0f} B" if count < 2**10 else _format(count, _BYTES, 1024)


def format_rate(bytes_per_second: float) -> str:
    """21.4 GB/s, decimal as rates are."""
    return _format(bytes_per_second, _RATES)


def format_operations(ops_per_second: float) -> str:
    """1.25 TOPS; a multiply-add counts two."""
    return _format(ops_per_second, _OPERATIONS)


def format_ratio(ratio: float) -> str:
    """1.62×."""
    return f"{format_digits(ratio)}×"


def format_error(error: float) -> str:
    """A relative error: 0.0123; tiny ones with an exponent."""
    return f"{error:.1e}" if 0 < error < 1e-4 else format_digits(error)


def format_quantity(quantity: Quantity, unit: Callable[[float], str]) -> str:
    """A measured figure as it is; a modelled one as the interval that it stands for."""
    if quantity.provenance != "modelled" or quantity.uncertainty == 0:
        return unit(quantity.value)
    low = quantity.value * max(0.0, 1 - quantity.uncertainty)
    return format_interval(low, quantity.value * (1 + quantity.uncertainty), unit)


def format_interval(low: float, high: float, unit: Callable[[float], str]) -> str:
    """4.20–4.51 ms, or 980 µs–1.02 ms."""
    first, last = unit(low), unit(high)
    number, _, name = first.rpartition(" ")
    return f"{number}–{last}" if name == last.rpartition(" ")[2] else f"{first}–{last}"


def format_uncertainty(quantity: Quantity) -> str:
    """Where a figure comes from, and how sure it is: "measured, ±4 %"."""
    if quantity.uncertainty == 0:
        return quantity.provenance
    share = 100 * quantity.uncertainty
    return (
        f"{quantity.provenance}, ±{share:.0f} %" if share >= 1 else f"{quantity.provenance}, ±<1 %"
    )
