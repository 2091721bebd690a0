"""Figures in sentences: a few digits and a unit that fits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qprobe.documents.base import Quantity


def seconds(value: float) -> str:
    """Three digits, in s, ms or µs."""
    if value >= 1:
        return f"{value:.2f} s"
    if value >= 1e-3:
        return f"{value * 1e3:.{_decimals(value * 1e3)}f} ms"
    return f"{value * 1e6:.{_decimals(value * 1e6)}f} µs"


def size(value: float) -> str:
    """Bytes in GiB, MiB or KiB."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= scale:
            return f"{value / scale:.{_decimals(value / scale)}f} {unit}"
    return f"{value:.0f} bytes"


def error(value: float) -> str:
    """A relative error, two significant digits."""
    return f"{value:.2g}"


def error_above(value: float) -> str:
    """A relative error, rounded up to two significant digits: a limit that holds it."""
    if not value or math.isinf(value):
        return error(value)
    digits = 1 - math.floor(math.log10(value))
    return error(math.ceil(value * 10.0**digits * (1 - 1e-12)) / 10.0**digits)


def share(value: float) -> str:
    """A part of a whole, in per cent."""
    if value >= 10:
        return f"{value:.0f} times"
    return f"{value * 100:.{_decimals(value * 100)}f} %"


def provenance(*quantities: Quantity) -> str:
    """How figures are known: the worst of them, and how far off a modelled one may be."""
    modelled = [q.uncertainty for q in quantities if q.provenance == "modelled"]
    if modelled:
        return f"modelled, ± {max(modelled) * 100:.0f} %"
    return "recorded" if any(q.provenance == "recorded" for q in quantities) else "measured"


def at_rows(rows: Sequence[int]) -> str:
    """The M that figures are for."""
    return "M = " + " and ".join(str(m) for m in rows)


def names(items: Sequence[str]) -> str:
    """A list of names that stays short."""
    listed = ", ".join(items[:3])
    return f"{listed} and {len(items) - 3} more" if len(items) > 3 else listed


def _decimals(value: float) -> int:
    magnitude = abs(value)
    return 0 if magnitude >= 99.95 else 1 if magnitude >= 9.995 else 2
