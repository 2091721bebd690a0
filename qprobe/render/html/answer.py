"""The figures at the top of the plan's page: speed, weights, memory and error, against as stored."""

from __future__ import annotations

from dataclasses import dataclass

from qprobe.documents.base import Quantity
from qprobe.documents.objective import ERROR_RESERVE, Objective
from qprobe.documents.plan import ErrorEstimate, Predicted, Section
from qprobe.render.charts.costs import share_of_budget
from qprobe.render.charts.families import Family, family_of
from qprobe.render.html.known import Bar, Known, add, known, stack
from qprobe.render.units import (
    format_bytes,
    format_error,
    format_quantity,
    format_ratio,
    format_seconds,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure that the reader should take home."""

    name: str
    figure: str
    words: str
    known: Known | None = None


def tiles(section: Section, objective: Objective) -> list[Tile]:
    """Time, weights, memory, error."""
    mine = section.predicted
    stored = next((a.predicted for a in section.alternatives if a.name == "NONE"), None)
    return [
        _time(mine, stored),
        _weights(mine, stored),
        Tile(
            "memory at the peak",
            format_quantity(mine.memory_bytes, format_bytes),
            _memory_words(stored, objective),
            known(mine.memory_bytes, format_bytes),
        ),
        _error(mine.error, objective),
    ]


def _time(mine: Predicted, stored: Predicted | None) -> Tile:
    time = format_quantity(mine.seconds, format_seconds)
    how = known(mine.seconds, format_seconds)
    if stored is None or mine.seconds.value <= 0:
        return Tile("time of a request", time, "the model as stored was not scored", how)
    before = format_quantity(stored.seconds, format_seconds)
    worst = add([mine.seconds, stored.seconds])
    return Tile(
        "speed, against as stored",
        format_ratio(stored.seconds.value / mine.seconds.value),
        f"{time} a request, as stored {before}",
        known(worst, format_seconds),
    )


def _weights(mine: Predicted, stored: Predicted | None) -> Tile:
    figure = format_quantity(mine.weight_bytes, format_bytes)
    if stored is None or stored.weight_bytes.value <= 0:
        return Tile("weights", figure, "")
    share = 100 * mine.weight_bytes.value / stored.weight_bytes.value
    before = format_quantity(stored.weight_bytes, format_bytes)
    return Tile("weights", figure, f"{share:.0f} % of {before} as stored")


def _memory_words(stored: Predicted | None, objective: Objective) -> str:
    parts = []
    if stored is not None:
        parts.append(f"as stored {format_quantity(stored.memory_bytes, format_bytes)}")
    if objective.memory_limit_bytes is not None:
        parts.append(f"limit {format_bytes(objective.memory_limit_bytes)}")
    return ", ".join(parts)


def _error(error: ErrorEstimate | None, objective: Objective) -> Tile:
    limit = f"limit {format_error(objective.error_limit.value)}"
    if error is None:
        return Tile("error at the output", "unknown", f"nothing was calibrated; {limit}")
    floor = (
        "" if error.noise_floor is None else f", bf16 alone costs {format_error(error.noise_floor)}"
    )
    return Tile(
        "error at the output",
        format_error(error.value),
        f"{limit}{floor}; {METHODS.get(error.method, error.method)}",
    )


RESERVE = 1 - (1 - ERROR_RESERVE) ** 2
"""Share of the error budget that no plan within the limit uses."""
METHODS = {
    "prior": "a guess from no data",
    "weights": "from the weights alone",
    "calibrated": "calibrated layer by layer",
    "end_to_end": "this very plan was run",
}


def time_parts(section: Section) -> Bar:
    """The request's time: the linears by scheme, and the rest."""
    predicted = section.predicted
    by_scheme: dict[str, list[Quantity]] = {}
    for group in section.groups.values():
        if group.predicted is None:
            by_scheme = {}
            break
        by_scheme.setdefault(group.scheme.name, []).append(group.predicted.seconds)
    pieces = [
        (f"{name} layers", add(found), family_of(name)) for name, found in sorted(by_scheme.items())
    ]
    linear = predicted.linear_seconds
    if not pieces:
        pieces = [("linear layers", linear, family_of("NONE"))]
    return stack(
        [
            *(
                (label, format_quantity(total, format_seconds), total.value, family)
                for label, total, family in pieces
            ),
            (
                "everything else",
                format_quantity(predicted.rest_seconds, format_seconds),
                predicted.rest_seconds.value,
                "rest",
            ),
        ]
    )


def error_parts(section: Section, objective: Objective) -> Bar | None:
    """The error budget: what the groups of each scheme take, what is free, and what no plan may use.

    None where it is not known for every group.
    """
    error, limit = section.predicted.error, objective.error_limit.value
    if error is None or limit == 0:
        return None
    by_scheme: dict[str, float] = {}
    for group in section.groups.values():
        share = share_of_budget(group.predicted.error, limit) if group.predicted else None
        if share is None:
            return None
        by_scheme[group.scheme.name] = by_scheme.get(group.scheme.name, 0.0) + share
    of_groups = sum(by_scheme.values())
    used = max(share_of_budget(error.value, limit) or 0.0, of_groups)
    left = max(0.0, 1 - used)
    pieces: list[tuple[str, float, Family | str]] = [
        *((f"{name} layers", share, family_of(name)) for name, share in sorted(by_scheme.items())),
        (f"computing in {section.compute_dtype}", _rounded(used - of_groups), "rest"),
        ("left free", _rounded(left - RESERVE), "free"),
        ("kept in reserve", _rounded(min(left, RESERVE)), "reserve"),
    ]
    return stack([(label, "", share, kind) for label, share, kind in pieces], whole=1.0)


def _rounded(share: float) -> float:
    """A difference of shares, or nothing where it is but rounding."""
    return share if share > 1e-6 else 0.0
