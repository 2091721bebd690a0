"""The comparison on a CPU as Markdown, from its JSON: `python -m tests.bench.cpu_page FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from qprobe.timing.samples import Ratio
from tests.bench.cpu_compare import (
    QUANTIZED_BITS,
    WITHIN,
    Duel,
    best,
    duel,
    duels,
    timed_rows,
)
from tests.bench.cpu_model_page import model_lines
from tests.bench.cpu_report import CellResult, CpuReport, Kind, RowResult
from tests.bench.peers._peer import all_peers
from tests.bench.peers._published import LEAD, PUBLISHED, SOURCE

OPPONENTS: tuple[tuple[Kind, str], ...] = (("torch", "PyTorch-side peer"), ("next", "next mark"))


def write_page(report: CpuReport, plots: Sequence[str] = ()) -> str:
    """The whole page; `plots` are files beside it."""
    device = report.device
    changed = " with uncommitted changes" if report.dirty else ""
    versions = ", ".join(
        f"{name} {version or 'not installed'}" for name, version in sorted(report.versions.items())
    )
    lines = [
        f"# Layers and models beside the peers on {device.slug}",
        "",
        f"{device.name}, {device.units} cores, {', '.join(device.features)}; commit "
        f"{report.commit}{changed}, {report.created_utc:%Y-%m-%d %H:%M} UTC; {report.threads} "
        f"threads; {versions}. Taken in {report.wall_s / 60:.0f} minutes. Medians; ratios are paired "
        "and interleaved, with their 95 % interval; below 1, what is bundled is faster. All layers run "
        "eagerly, the peers' as well; compiled models are compared in the reports of MiniLM.",
        "",
        *report.notes,
        *_summary(report),
        *(f"![{Path(plot).stem}]({plot})" for plot in plots),
        "",
        *_best_tables(report),
        *_published(report),
        *model_lines(report),
        *_all_rows(report),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _summary(report: CpuReport) -> Iterator[str]:
    if not report.cells:
        return
    yield "## In short"
    yield ""
    for bits in QUANTIZED_BITS:
        for kind, words in OPPONENTS:
            found = [(cell, d) for cell, d in duels(report, bits, kind) if d is not None]
            if not found:
                yield f"- {bits} bits beside the best {words}: nothing was timed of both"
                continue
            line = f"- {bits} bits beside the best {words}, {len(found)} cells: "
            yield line + "; ".join(_verdicts(found))
            yield from _leads(d for _, d in found)
            if disturbed := sum(d.is_disturbed for _, d in found):
                yield f"  - the machine was disturbed in {disturbed} of them: their intervals are wide"
    yield ""


def _verdicts(found: Sequence[tuple[CellResult, Duel]]) -> Iterator[str]:
    """How many cells are within 10 %, and which are not."""
    words = {
        "within": f"within {WITHIN - 1:.0%} in",
        "undecided": "the interval allows it in",
        "beyond": "not in",
    }
    for verdict, text in words.items():
        cells = [(cell, d) for cell, d in found if d.verdict == verdict]
        listed = ", ".join(
            f"K {cell.k} N {cell.n} M {cell.m}: {write_ratio(d.ratio)} × {d.theirs.name}"
            for cell, d in cells
        )
        if cells:
            yield f"{text} {len(cells)}" + ("" if verdict == "within" else f" ({listed})")


def _leads(found: Iterable[Duel]) -> Iterator[str]:
    """Who of another runtime is faster, by how much, and why."""
    ahead: dict[str, list[float]] = {}
    for d in found:
        if d.ratio.median > 1:
            ahead.setdefault(d.theirs.source, []).append(d.ratio.median)
    for name, ratios in sorted(ahead.items()):
        peer = all_peers().get(name)
        if peer is not None and peer.lead:
            cells = f"{len(ratios)} cells" if len(ratios) > 1 else "1 cell"
            most = f"up to {max(ratios):.2f} times as fast"
            yield f"  - {name} leads in {cells}, {most}: {peer.lead}"


def _best_tables(report: CpuReport) -> Iterator[str]:
    for (k, n), group in groupby(report.cells, key=lambda cell: (cell.k, cell.n)):
        cells = list(group)
        yield f"## K = {k}, N = {n}"
        yield ""
        for bits in QUANTIZED_BITS:
            yield (
                f"| M | unquantized, ms | bundled {bits} bits, ms | best PyTorch-side peer, ms | "
                "ours over it | next mark, ms | ours over it |"
            )
            yield "|---|---|---|---|---|---|---|"
            for cell in cells:
                columns = [_named(best(cell, "unquantized")), _named(best(cell, "bundled", bits))]
                for kind, _ in OPPONENTS:
                    found = duel(cell, bits, kind)
                    columns.append(_named(best(cell, kind, bits)))
                    columns.append("–" if found is None else write_ratio(found.ratio))
                yield f"| {cell.m} | " + " | ".join(columns) + " |"
            yield ""


def _published(report: CpuReport) -> Iterator[str]:
    """ggml as published, by its speed against F.linear there, beside ours against F.linear here."""
    measured = {(cell.k, cell.n, cell.m): cell for cell in report.cells}
    shown = [row for row in PUBLISHED if (row.k, row.n, row.m) in measured]
    if not shown:
        return
    yield "## ggml, as published"
    yield ""
    yield f"Figures {SOURCE}: only how many times as fast as `F.linear` each is, there and here."
    yield f"Where ggml is ahead: {LEAD}."
    yield ""
    yield "| K, N, M | ggml | over fp32 | over bf16 | bundled here | over fp32 | over bf16 |"
    yield "|---|---|---|---|---|---|---|"
    for row in shown:
        cell = measured[row.k, row.n, row.m]
        ours = best(cell, "bundled", row.bits)
        yield (
            f"| {row.k}, {row.n}, {row.m} | {row.label} | {row.fp32_ms / row.ms:.1f}× | "
            f"{row.bf16_ms / row.ms:.1f}× | {'–' if ours is None else ours.label} | "
            f"{_times_as_fast(cell, ours, 32)} | {_times_as_fast(cell, ours, 16)} |"
        )
    yield ""


def _times_as_fast(cell: CellResult, ours: RowResult | None, bits: int) -> str:
    plain = next(
        (r for r in timed_rows(cell) if r.bits == bits and r.label.endswith("by reference")), None
    )
    if ours is None or plain is None:
        return "–"
    return f"{plain.median_s / ours.median_s:.1f}×"


def _all_rows(report: CpuReport) -> Iterator[str]:
    if report.cells:
        yield "## Everything that was timed"
        yield ""
    for cell in report.cells:
        rows = timed_rows(cell)
        yield f"### K = {cell.k}, N = {cell.n}, M = {cell.m}"
        yield ""
        yield "| row | bits | x | ms | p20–p80 | samples | error |"
        yield "|---|---|---|---|---|---|---|"
        for row in rows:
            low, high = row.samples.quantile(0.2), row.samples.quantile(0.8)
            yield (
                f"| {row.name} | {row.bits} | {row.dtype} | {ms(row.median_s)} | "
                f"{ms(low)}–{ms(high)} | {len(row.seconds)} | {write_error(row.error)} |"
            )
        yield ""
        yield from _untimed([row for row in cell.rows if not row.seconds])


def _untimed(rows: Sequence[RowResult]) -> Iterator[str]:
    """What was not timed in turn, one line a reason."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        alone = "" if row.alone_s is None else f" ({ms(row.alone_s)} ms alone)"
        words = f"{row.status}: {row.reason}" if row.reason else row.status
        reasons.setdefault(words, []).append(f"{row.name}, {row.dtype}{alone}")
    for words, names in reasons.items():
        yield f"- {words}: {'; '.join(names)}"
    yield ""


def ms(seconds: float) -> str:
    """Milliseconds with three digits."""
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"


def write_ratio(ratio: Ratio) -> str:
    """The ratio and its interval."""
    return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def write_error(error: float | None) -> str:
    """A relative error."""
    return "–" if error is None else f"{error:.1e}"


def _named(row: RowResult | None) -> str:
    return "–" if row is None else f"{ms(row.median_s)} {row.label} ({row.source}, {row.dtype})"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    plots = sorted(path.name for path in file.parent.glob(f"{file.stem}-*.svg"))
    sys.stdout.write(write_page(CpuReport.model_validate_json(file.read_text()), plots))
