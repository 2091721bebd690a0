"""The report of a run on a GPU as Markdown: ratios of one run, beside the roofline. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from qprobe.timing.samples import ratio_of
from tests.bench.gpu_report import GpuCell, GpuReport, GpuRow

CASTS = {"bfloat16": "BF16", "float16": "FP16"}
BIG_BYTES = 64 * 2**20
LAUNCH_LIMIT_S = 5e-6


def gpu_page(report: GpuReport) -> str:
    """One table a cell, the fastest first, and what was asked of the kernels."""
    return "\n".join([*_head(report), *_marks(report), *_cells(report), *_tail(report)]) + "\n"


def _head(report: GpuReport) -> Iterator[str]:
    dirty = ", with changes that are not committed" if report.dirty else ""
    yield f"# {report.device.name}"
    yield ""
    yield (
        f"Commit {report.commit}{dirty}; {report.created_utc:%Y-%m-%d %H:%M} UTC; "
        f"{report.wall_s:.0f} s. "
        + ", ".join(f"{name} {version or 'absent'}" for name, version in report.versions.items())
        + "."
    )
    yield ""
    yield (
        f"Copy: {report.copy_bandwidth_bytes_per_s / 1e9:.0f} GB/s, read and written bytes both. "
        f"L2: {report.cache_bytes / 2**20:.0f} MiB; weights are rotated over copies beyond it. "
        "Seconds are of calls back to back in a CUDA graph, by the GPU's clock."
    )
    yield ""
    yield "| measured peak | TFLOP/s or TOP/s | |"
    yield "|---|---:|---|"
    for name, peak in sorted(report.peaks.items()):
        yield f"| {name} | {peak.ops_per_s / 1e12:.1f} | {peak.support} |"
    for name, words in sorted(report.absent.items()):
        yield f"| {name} | – | {words} |"
    yield ""
    for remark in report.conditions.remarks if report.conditions else ():
        yield f"**{remark}**\n"
    if report.conditions is None:
        yield "Clocks, throttling and other processes are unknown: NVML did not answer.\n"


def _marks(report: GpuReport) -> Iterator[str]:
    yield "## What was asked of the kernels"
    yield ""
    yield "| mark | reached | |"
    yield "|---|---:|---|"
    bandwidth = report.copy_bandwidth_bytes_per_s
    for cell in report.cells:
        ours = [row for row in cell.rows if row.kind == "bundled" and row.seconds]
        where = f"M = {cell.m}, N = {cell.n}, K = {cell.k}"
        if cell.m == 1:
            for row in _best_of_each(r for r in ours if r.weight_bytes >= BIG_BYTES):
                share = row.weight_bytes / row.median_s / bandwidth
                yield _mark(f"{row.scheme} at {where}: share of the copy", share, 0.85)
        if cell.m <= 16:
            for row in _best_of_each(r for r in ours if r.scheme.startswith("W4A16")):
                base = _baseline(cell, row)
                if base is not None:
                    ratio = ratio_of(base.samples, row.samples).median
                    yield _mark(f"{row.scheme} {row.dtype} at {where}: times 16 bits", ratio, 3.0)
        if min(cell.m, cell.n, cell.k) >= 4096:
            yield from _int8_marks(report, cell, ours, where)
    if report.launch is not None:
        over = report.launch.layer_s - report.launch.bare_s
        yield (
            f"| a layer over a bare launch | {over * 1e6:.1f} µs | "
            f"{'reached' if over <= LAUNCH_LIMIT_S else 'missed'} (≤ {LAUNCH_LIMIT_S * 1e6:.0f} µs) |"
        )
    yield ""


def _int8_marks(report: GpuReport, cell: GpuCell, ours: list[GpuRow], where: str) -> Iterator[str]:
    int8 = [row for row in ours if row.scheme == "W8A8" and "s8" in row.label]
    theirs = [row for row in cell.rows if row.label == "cuda.int_mm" and row.seconds]
    for row in sorted(int8, key=lambda row: row.median_s)[:1]:
        unit, limit = ("peak_wgmma", 0.7) if "wgmma" in row.label else ("peak_imma", 0.6)
        if unit in report.peaks:
            rate = 2 * cell.m * cell.n * cell.k / row.median_s / report.peaks[unit].ops_per_s
            yield _mark(f"{row.label} at {where}: share of {unit}", rate, limit)
        if theirs:
            best = min(theirs, key=lambda other: other.median_s)
            ratio = ratio_of(best.samples, row.samples).median
            yield _mark(f"{row.label} at {where}: speed over torch._int_mm", ratio, 0.9)


def _mark(what: str, reached: float, limit: float) -> str:
    return f"| {what} | {reached:.2f} | {'reached' if reached >= limit else 'missed'} (≥ {limit}) |"


def _best_of_each(rows: Iterator[GpuRow]) -> list[GpuRow]:
    """The fastest row of each scheme."""
    best: dict[str, GpuRow] = {}
    for row in rows:
        if row.scheme not in best or row.median_s < best[row.scheme].median_s:
            best[row.scheme] = row
    return list(best.values())


def _baseline(cell: GpuCell, row: GpuRow) -> GpuRow | None:
    """Torch's own linear in the type of the row."""
    for other in cell.rows:
        if other.kind == "baseline" and other.scheme == CASTS[row.dtype] and other.seconds:
            return other
    return None


def _cells(report: GpuReport) -> Iterator[str]:
    for cell in report.cells:
        yield f"## M = {cell.m}, N = {cell.n}, K = {cell.k}"
        yield ""
        yield "| way | scheme | type | µs | speed over 16 bits | of the copy | host µs | error |"
        yield "|---|---|---|---:|---:|---:|---:|---:|"
        timed = [row for row in cell.rows if row.seconds]
        for row in sorted(timed, key=lambda row: row.median_s):
            base = _baseline(cell, row)
            speed = "–"
            if base is not None:
                ratio = ratio_of(base.samples, row.samples)
                speed = f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"
            share = row.weight_bytes / row.median_s / report.copy_bandwidth_bytes_per_s
            host = "–" if row.host_s is None else f"{row.host_s * 1e6:.1f}"
            error = "–" if row.error is None else f"{row.error:.1e}"
            yield (
                f"| {row.label} | {row.scheme} | {row.dtype} | {row.median_s * 1e6:.2f} | {speed} "
                f"| {share:.0%} | {host} | {error} |"
            )
        yield ""
        for row in cell.rows:
            if row.status == "failed":
                yield f"- {row.label} {row.scheme} {row.dtype} was not timed: {row.reason}"
        yield ""


def _tail(report: GpuReport) -> Iterator[str]:
    if report.left_out:
        yield f"There was no time for {'; '.join(report.left_out)}."
