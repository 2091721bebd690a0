"""Measures every bundled layer, the unquantized ones and the peers side by side: the report on a CPU.

`python -m tests.bench.cpu`, in the environment that `make peers` makes; without it the peers are
listed as absent. Writes reports/<cpu>/<date>-<commit>.json, and the Markdown and plots made from it.
Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from qprobe.documents.files import save_document, write_text
from qprobe.kernels.device import fingerprint
from qprobe.timing.allocator import keep_freed_memory
from tests.bench.cpu_page import write_page
from tests.bench.cpu_plots import write_plots
from tests.bench.cpu_race import measure_shape
from tests.bench.cpu_report import CellResult, CpuReport, RequestResult
from tests.bench.cpu_rows import BUNDLED, sources
from tests.bench.minilm import ROOT, describe_commit
from tests.bench.peers._peer import all_peers

SHAPES = ((2048, 2048), (4096, 4096), (4096, 14336), (384, 1536))
"""(K, N)."""
ROWS = (1, 8, 32, 128, 512, 4096)
BUDGET_S, MODEL_BUDGET_S = 6.0, 20.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the options ask for and write the report; it is kept after every part."""
    options = _parse(arguments)
    start = time.perf_counter()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # Packages say things at every call.
    keep_freed_memory()
    device = fingerprint("cpu")
    commit = describe_commit()
    folder: Path = options.out or ROOT / "reports" / device.slug
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y-%m-%d}-{commit['commit']}"
    old = read_report(folder / f"{name}.json")
    cells: list[CellResult] = list(old.cells) if old else []
    requests: list[RequestResult] = list(old.requests) if old else []

    def tell(words: str) -> None:
        print(f"[{time.perf_counter() - start:6.0f} s] {words}", file=sys.stderr, flush=True)

    def keep() -> CpuReport:
        report = CpuReport(
            commit=str(commit["commit"]),
            dirty=bool(commit["dirty"]),
            device=device,
            threads=torch.get_num_threads(),
            versions={peer.distribution: peer.version for peer in all_peers().values()},
            wall_s=time.perf_counter() - start + (old.wall_s if old else 0.0),
            cells=tuple(cells),
            requests=tuple(requests),
        )
        save_document(report, folder / f"{name}.json")
        return report

    if not options.models_only:
        for k, n in options.shape or SHAPES:
            tell(f"K = {k}, N = {n}")
            found = measure_shape(n, k, options.m or ROWS, options.budget, options.only, tell)
            anew = {(cell.k, cell.n, cell.m) for cell in found}
            cells = [cell for cell in cells if (cell.k, cell.n, cell.m) not in anew] + found
            keep()
    if not options.layers_only:
        with tempfile.TemporaryDirectory() as scratch:
            from tests.bench.cpu_models import measure_model
            from tests.bench.cpu_requests import bench_models

            def keep_request(result: RequestResult) -> None:
                anew = request_key(result)
                requests[:] = [r for r in requests if request_key(r) != anew] + [result]
                keep()

            for bench in bench_models(Path(scratch)):
                if not options.model or bench.name in options.model:
                    measure_model(bench, options.model_budget, options.only, tell, keep_request)
    report = keep()
    plots = write_plots(report, folder, name)
    write_text(write_page(report, plots), folder / f"{name}.md")
    tell(f"wrote {folder / name}.json")


def request_key(result: RequestResult) -> tuple[object, ...]:
    """What a report holds one result of."""
    return result.model, result.batch, result.prompt, result.generate


def read_report(path: Path) -> CpuReport | None:
    """What an earlier run of the same day and commit measured: only what is asked for is measured anew."""
    return CpuReport.model_validate_json(path.read_bytes()) if path.exists() else None


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cpu", description=__doc__)
    parser.add_argument("--shape", type=_shape, action="append", metavar="KxN")
    parser.add_argument("--m", type=_rows, metavar="1,8,…")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds of a layer's cell")
    parser.add_argument("--model-budget", type=float, default=MODEL_BUDGET_S, metavar="S")
    parser.add_argument("--only", type=_sources, default=(), metavar="PEER,…")
    parser.add_argument("--model", action="append", metavar="NAME")
    parser.add_argument("--out", type=Path, help="folder; default: reports/<cpu>")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--layers-only", action="store_true")
    parts.add_argument("--models-only", action="store_true")
    return parser.parse_args(arguments)


def _shape(text: str) -> tuple[int, int]:
    k, n = (int(side) for side in text.lower().split("x"))
    return k, n


def _rows(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(rows) for rows in text.split(",")}))


def _sources(text: str) -> tuple[str, ...]:
    """qprobe itself is always among them."""
    wanted = text.split(",")
    if unknown := set(wanted) - set(sources()):
        raise argparse.ArgumentTypeError(
            f"no peer {', '.join(sorted(unknown))}; there are {', '.join(sources())}"
        )
    return (BUNDLED, *(name for name in wanted if name != BUNDLED))


if __name__ == "__main__":
    main()
