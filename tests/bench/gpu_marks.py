"""What was asked of the kernels, and whether a run reached it: by the 95 % interval, not by the median alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qprobe.timing.samples import Ratio, Samples, ratio_of
from tests.bench.gpu_report import GpuCell, GpuReport, GpuRow

CASTS = {"bfloat16": "BF16", "float16": "FP16"}
BIG_BYTES = 64 * 2**20
LAUNCH_LIMIT_S = 5e-6
FEW_ROWS = 16
UNITS = {"wgmma": ("peak_wgmma", 0.7), "mma": ("peak_imma", 0.6)}
"""How an int8 product multiplies → the peak that it is held against, and the share asked of it."""
LARGE = 4096
"""From so many rows, features and inputs on, an int8 product is held against them."""


def list_marks(report: GpuReport) -> Iterator[str]:
    """A table, a line for each mark."""
    yield "## What was asked of the kernels"
    yield ""
    yield "| mark | reached (95 % interval) | |"
    yield "|---|---:|---|"
    for cell in report.cells:
        ours = [row for row in cell.rows if row.kind == "bundled" and row.seconds]
        where = f"M = {cell.m}, N = {cell.n}, K = {cell.k}"
        if cell.m == 1:
            yield from _copy_marks(report, ours, where)
        yield from _four_bit_marks(cell, ours, where)
        if is_large(cell.m, cell.n, cell.k):
            yield from _int8_marks(report, cell, where)
    if report.launch is not None:
        over = report.launch.layer_s - report.launch.bare_s
        yield (
            f"| a layer over a bare launch | {over * 1e6:.1f} µs | "
            f"{'reached' if over <= LAUNCH_LIMIT_S else 'missed'} (≤ {LAUNCH_LIMIT_S * 1e6:.0f} µs) |"
        )
    yield ""


def is_large(m: int, n: int, k: int) -> bool:
    """Whether the int8 products of a shape are held against what the card can do."""
    return min(m, n, k) >= LARGE


def find_unit(label: str) -> str:
    """How a kernel of ours multiplies, a key of `UNITS`; "" where it is held against no peak."""
    return next((kind for kind in UNITS if kind in label.split("_")), "")


def find_baseline(cell: GpuCell, row: GpuRow) -> GpuRow | None:
    """Torch's own linear in the type of the row."""
    for other in cell.rows:
        if other.kind == "baseline" and other.scheme == CASTS[row.dtype] and other.seconds:
            return other
    return None


def _copy_marks(report: GpuReport, ours: list[GpuRow], where: str) -> Iterator[str]:
    for row in _best_of_each(row for row in ours if row.weight_bytes >= BIG_BYTES):
        share = _share(row.weight_bytes / report.copy_bandwidth_bytes_per_s, row)
        yield _mark(f"{row.scheme} at {where}: share of the copy", share, 0.85)


def _four_bit_marks(cell: GpuCell, ours: list[GpuRow], where: str) -> Iterator[str]:
    """With few rows, three times as fast as 16 bits; with more, the best that a layer can switch to is not slower."""
    is_few = cell.m <= FEW_ROWS
    able = ours if is_few else [r for r in cell.rows if r.kind != "peer" and r.seconds]
    for row in _best_of_each(row for row in able if row.scheme.startswith("W4A16")):
        base = find_baseline(cell, row)
        if base is None:
            continue
        ratio, what = ratio_of(base.samples, row.samples), f"{row.scheme} {row.dtype} at {where}"
        if is_few:
            yield _mark(f"{what}: times 16 bits", ratio, 3.0)
        else:
            yield _not_slower(f"{what}: {row.label} over 16 bits", ratio)


def _int8_marks(report: GpuReport, cell: GpuCell, where: str) -> Iterator[str]:
    """Each way to multiply by its own peak, and the fastest beside torch's: the products alone.

    For comparison, the layers, which quantize x as well.
    """
    layers = [row for row in cell.rows if row.scheme == "W8A8" and row.seconds]
    ours = [row for row in layers if row.kind == "bundled" and "s8" in row.label]
    alone = [row for row in cell.products if row.kind == "bundled" and row.seconds]
    if not alone and any(find_unit(row.label) for row in ours):
        yield f"| int8 at {where}, product alone | – | not measured |"
    operations = 2 * cell.m * cell.n * cell.k
    for kind, (unit, limit) in UNITS.items():
        own = [row for row in alone if find_unit(row.label) == kind]
        if own and unit in report.peaks:
            row = _fastest(own)
            share = _share(operations / report.peaks[unit].ops_per_s, row)
            yield _mark(f"{row.label} at {where}, product alone: share of {unit}", share, limit)
    theirs = [row for row in cell.products if row.kind == "torch" and row.seconds]
    if alone and theirs:
        row = _fastest(alone)
        ratio = ratio_of(_fastest(theirs).samples, row.samples)
        yield _mark(f"{row.label} at {where}, product alone: speed over torch._int_mm", ratio, 0.9)
    theirs = [row for row in layers if row.label == "cuda.int_mm"]
    if ours and theirs:
        row = _fastest(ours)
        ratio = ratio_of(_fastest(theirs).samples, row.samples)
        what = f"{row.label} at {where}, layer with its quantizer: speed over cuda.int_mm's"
        yield _line(what, ratio, "nothing was asked")


def _share(least_s: float, row: GpuRow) -> Ratio:
    """Which part of what the card can do, where it could take `least_s`."""
    return ratio_of(Samples((least_s,) * len(row.seconds)), row.samples)


def _mark(what: str, ratio: Ratio, limit: float) -> str:
    word = "reached" if ratio.low >= limit else "missed" if ratio.high < limit else "undecided"
    return _line(what, ratio, f"{word} (≥ {limit})")


def _not_slower(what: str, ratio: Ratio) -> str:
    """Reached where the interval allows it."""
    return _line(what, ratio, f"{'reached' if ratio.high >= 1 else 'missed'} (not slower)")


def _line(what: str, ratio: Ratio, words: str) -> str:
    return f"| {what} | {ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f}) | {words} |"


def _fastest(rows: list[GpuRow]) -> GpuRow:
    return min(rows, key=lambda row: row.median_s)


def _best_of_each(rows: Iterable[GpuRow]) -> list[GpuRow]:
    """The fastest row of each scheme."""
    best: dict[str, GpuRow] = {}
    for row in rows:
        if row.scheme not in best or row.median_s < best[row.scheme].median_s:
            best[row.scheme] = row
    return list(best.values())
