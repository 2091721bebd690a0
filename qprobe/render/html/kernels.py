"""The measured kernels beside the roofline, as the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qprobe.documents.profile import Profile
from qprobe.render.charts.attained import Attained
from qprobe.render.charts.families import FAMILIES, Family, family_of
from qprobe.render.charts.roofline import peak_words, roofline_chart, shape_words
from qprobe.render.profile import SHORT_DTYPES
from qprobe.render.units import (
    format_interval,
    format_operations,
    format_rate,
    format_seconds,
)


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One point of the roofline."""

    shape: str
    scheme: str
    family: Family
    kernel: str
    seconds: str
    spread: str
    rate: str
    roof: str
    is_chosen: bool


def kernel_rows(points: Sequence[Attained], profile: Profile) -> list[KernelRow]:
    """A row a point, in their order."""
    return [
        KernelRow(
            shape=shape_words(point),
            scheme=point.measurement.cell.scheme,
            family=family_of(point.measurement.cell.scheme),
            kernel=point.measurement.cell.kernel,
            seconds=format_seconds(point.measurement.median_s),
            spread=format_interval(
                point.measurement.p20_s, point.measurement.p80_s, format_seconds
            ),
            rate=format_operations(point.ops_per_s),
            roof=_roof(point.share_of_roof(profile)),
            is_chosen=point.is_chosen,
        )
        for point in points
    ]


def roofline_values(profile: Profile, points: Sequence[Attained]) -> dict[str, Any] | None:
    """What the template of the roofline needs; None where nothing can be drawn."""
    chart = roofline_chart(profile, points)
    if chart is None:
        return None
    facts = []
    if profile.copy_bandwidth_bytes_per_s:
        facts.append(f"copy bandwidth {format_rate(profile.copy_bandwidth_bytes_per_s)}")
    facts += [
        f"peak {peak_words(name, peak)}"
        for name, peak in sorted(profile.peaks.items(), key=lambda item: -item[1].ops_per_s)
    ]
    drawn = {family_of(point.measurement.cell.scheme) for point in points}
    return {
        "chart": chart,
        "facts": facts,
        "families": [family for family in FAMILIES if family in drawn],
        "rows": kernel_rows(points, profile),
        "has_chosen": any(point.is_chosen for point in points),
        "types": sorted(
            {SHORT_DTYPES[point.measurement.cell.activation_dtype] for point in points}
        ),
        "threads": profile.threads,
        "measured_utc": profile.created_utc,
    }


def _roof(share: float | None) -> str:
    return "unknown" if share is None else f"{100 * share:.0f} %"
