"""Plots of the comparison, one for each shape: `python -m tests.bench.cpu_plots FILE`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from tests.bench.cpu_compare import best
from tests.bench.cpu_report import CellResult, CpuReport, Kind

LINES: tuple[tuple[str, Kind, int, str, str], ...] = (
    # label, kind, bits, colour, line
    ("unquantized, fp32", "unquantized", 32, "#777777", ":"),
    ("unquantized, bf16", "unquantized", 16, "#222222", ":"),
    ("bundled, 8 bits", "bundled", 8, "#c1272d", "-"),
    ("best PyTorch-side peer, 8 bits", "torch", 8, "#e58a8d", "--"),
    ("next mark, 8 bits", "next", 8, "#e58a8d", "-."),
    ("bundled, 4 bits", "bundled", 4, "#0057a4", "-"),
    ("best PyTorch-side peer, 4 bits", "torch", 4, "#78abd9", "--"),
    ("next mark, 4 bits", "next", 4, "#78abd9", "-."),
)


def write_plots(report: CpuReport, folder: Path, name: str) -> list[str]:
    """Write an SVG for each shape of more than one M; gives the names, none without matplotlib."""
    if find_spec("matplotlib") is None:
        return []
    written = []
    for (k, n), group in groupby(report.cells, key=lambda cell: (cell.k, cell.n)):
        cells = list(group)
        if len(cells) > 1:
            written.append(f"{name}-{k}x{n}.svg")
            _plot(cells, folder / written[-1], f"K = {k}, N = {n} on {report.device.slug}")
    return written


def _plot(cells: list[CellResult], path: Path, title: str) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "qprobe"
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for label, kind, bits, colour, style in LINES:
        found = [(cell.m, best(cell, kind, bits)) for cell in cells]
        points = [(m, row.median_s * 1e3) for m, row in found if row is not None]
        if points:
            axes.plot(
                *zip(*points, strict=True),
                style,
                label=label,
                color=colour,
                marker="o" if kind == "bundled" else None,
                markersize=4,
            )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([cell.m for cell in cells], [str(cell.m) for cell in cells])
    axes.set_xlabel("M (rows of x)")
    axes.set_ylabel("ms a call")
    axes.set_title(title)
    axes.grid(which="both", linewidth=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    source = Path(sys.argv[1])
    read = CpuReport.model_validate_json(source.read_text())
    print("\n".join(write_plots(read, source.parent, source.stem)))
