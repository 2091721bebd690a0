"""What follows from a report: who is best in a cell, and by how much. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from qprobe.timing.samples import Ratio, Samples, ratio_of
from tests.bench.cpu_report import (
    CellResult,
    CpuReport,
    GroupResult,
    Kind,
    RequestResult,
    RowResult,
    VariantResult,
)

WITHIN = 1.10
"""A bundled layer may take this many times as long as the best peer; a prediction be this far off."""
DISTURBED = 1.5
QUANTIZED_BITS = (8, 4)
Verdict = Literal["within", "undecided", "beyond"]


@dataclass(frozen=True)
class Duel:
    """Two rows of a cell; the ratio is of the first over the second: below 1, the first is faster."""

    ours: RowResult
    theirs: RowResult
    ratio: Ratio

    @property
    def verdict(self) -> Verdict:
        """Whether ours is within 10 %; undecided where the interval allows it and the median does not."""
        if self.ratio.median <= WITHIN:
            return "within"
        return "undecided" if self.ratio.low <= WITHIN else "beyond"

    @property
    def is_disturbed(self) -> bool:
        """Whether the interval says little: its ends are far apart."""
        return self.ratio.high > DISTURBED * self.ratio.low


def timed_rows(cell: CellResult) -> list[RowResult]:
    """The rows that were timed in turn, the fastest first."""
    return sorted((row for row in cell.rows if row.seconds), key=lambda row: row.median_s)


def best(cell: CellResult, kind: Kind, bits: int | None = None) -> RowResult | None:
    """The fastest of a kind, of any or of the given bits."""
    rows = timed_rows(cell)
    return next((r for r in rows if r.kind == kind and bits in (None, r.bits)), None)


def duel(cell: CellResult, bits: int, kind: Kind) -> Duel | None:
    """The best bundled layer beside the best of a kind; None where there is not one of each."""
    ours, theirs = best(cell, "bundled", bits), best(cell, kind, bits)
    if ours is None or theirs is None:
        return None
    return Duel(ours, theirs, ratio_of(ours.samples, theirs.samples))


def duels(report: CpuReport, bits: int, kind: Kind) -> Iterator[tuple[CellResult, Duel | None]]:
    """The duel of every cell."""
    for cell in report.cells:
        yield cell, duel(cell, bits, kind)


def timed_variants(request: RequestResult) -> list[VariantResult]:
    """The variants that were timed in turn, the fastest first; the plan is `plan_of`."""
    timed = (variant for variant in request.variants if variant.prefill_s)
    return sorted(timed, key=lambda variant: variant.request_s.median)


def plan_of(request: RequestResult) -> VariantResult:
    """The applied plan."""
    return next(variant for variant in request.variants if variant.bits is None)


def fastest(request: RequestResult, kind: Kind, dtype: str | None = None) -> VariantResult | None:
    """The fastest variant of a kind, of any or of the given activation type."""
    variants = timed_variants(request)
    return next((v for v in variants if v.kind == kind and dtype in (None, v.dtype)), None)


def miss(request: RequestResult) -> float:
    """How far the plan's time is from what was predicted, relative: 0.05 took 5 % longer."""
    return plan_of(request).request_s.median / request.predicted_s - 1


def decode_rate(request: RequestResult, variant: VariantResult) -> float | None:
    """Tokens a second of all sequences together; None where none is generated."""
    if not variant.decode_s:
        return None
    return request.batch * request.generate / Samples(variant.decode_s).median


def group_ratio(group: GroupResult) -> Ratio:
    """Seconds of the planned group over those of the plain layers."""
    return ratio_of(Samples(group.planned_s), Samples(group.unquantized_s))
