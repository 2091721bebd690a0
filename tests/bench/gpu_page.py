"""The report of a run on a GPU as Markdown: ratios of one run, beside the roofline. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qprobe.timing.samples import ratio_of
from tests.bench.gpu_marks import find_baseline, list_marks
from tests.bench.gpu_report import GpuCell, GpuReport

NOTHING = "No speed of any kernel was measured in this run."


def gpu_page(report: GpuReport) -> str:
    """One table a cell, the fastest first, and what was asked of the kernels."""
    is_measured = any(cell.is_measured for cell in report.cells)
    marks: Iterable[str] = list_marks(report) if is_measured else (f"**{NOTHING}**", "")
    return "\n".join([*_head(report), *marks, *_cells(report), *_tail(report)]) + "\n"


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
        "Seconds are of calls back to back in a CUDA graph, by the GPU's clock; kernels of ours for few rows "
        "begin while the one before ends (`overlaps` in kernels/README.md)."
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


def _cells(report: GpuReport) -> Iterator[str]:
    for cell in report.cells:
        yield f"## M = {cell.m}, N = {cell.n}, K = {cell.k}"
        yield ""
        if not cell.is_measured:
            yield "No speed was measured for this shape."
            yield ""
            yield from _failures(cell)
            continue
        yield "| way | scheme | type | µs | speed over 16 bits | of the copy | host µs | error |"
        yield "|---|---|---|---:|---:|---:|---:|---:|"
        timed = [row for row in cell.rows if row.seconds]
        for row in sorted(timed, key=lambda row: row.median_s):
            base = find_baseline(cell, row)
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
        yield from _products(cell)
        yield from _failures(cell)


def _products(cell: GpuCell) -> Iterator[str]:
    """A table of the int8 products alone, beside the layers that they are part of."""
    timed = [row for row in cell.products if row.seconds]
    if not timed:
        return
    yield "Products alone, of int8 codes that were made before; `torch._int_mm` gives sums without scales."
    yield ""
    yield "| product alone | type of y | µs | TOP/s | µs of the layer with its quantizer | error |"
    yield "|---|---|---:|---:|---:|---:|"
    layers = {(row.label, row.scheme, row.dtype): row for row in cell.rows if row.seconds}
    for row in sorted(timed, key=lambda row: row.median_s):
        rate = 2 * cell.m * cell.n * cell.k / row.median_s
        layer = layers.get((row.label, row.scheme, row.dtype))
        whole = "–" if layer is None else f"{layer.median_s * 1e6:.2f}"
        error = "–" if row.error is None else f"{row.error:.1e}"
        yield (
            f"| {row.label} | {row.dtype} | {row.median_s * 1e6:.2f} | {rate / 1e12:.0f} "
            f"| {whole} | {error} |"
        )
    yield ""


def _failures(cell: GpuCell) -> Iterator[str]:
    for rows, what in ((cell.rows, ""), (cell.products, ", product alone,")):
        for row in rows:
            if row.status == "failed":
                yield f"- {row.label} {row.scheme} {row.dtype}{what} was not timed: {row.reason}"
    yield ""


def _tail(report: GpuReport) -> Iterator[str]:
    if report.left_out:
        yield f"There was no time for {'; '.join(report.left_out)}."
