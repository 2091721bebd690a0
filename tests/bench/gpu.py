"""Measures our kernels, torch's and the peers' on a GPU, in turn: `python -m tests.bench.gpu`.

Writes reports/<gpu>/<date>-<commit>.json and the Markdown made from it. Where no GPU can be measured
it says so and fails.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from qprobe.bench._bed import Gpu
from qprobe.bench._conditions import judge
from qprobe.bench._gpu import measure_gpu
from qprobe.documents.files import save_document, write_text
from qprobe.documents.machine import GpuState
from qprobe.documents.profile import Shape
from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.kernels.cuda.probes import absent_peaks
from qprobe.kernels.device import fingerprint
from qprobe.kernels.gpus import no_gpu
from qprobe.probe.state import read_state
from qprobe.timing.graphs import host_seconds
from tests.bench.gpu_page import gpu_page
from tests.bench.gpu_peers import PACKAGES, version_of
from tests.bench.gpu_race import measure_cell
from tests.bench.gpu_report import GpuCell, GpuReport, LaunchCost

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_ROUNDS = 20
LAUNCHED = ("cuda.gemm_w4a16", "cuda.gemv_w4a16")
NOTHING = "nothing was measured: "
FOUR_BITS, EIGHT_BITS = ("W4A16", "NF4"), ("W8A16", "W8A8", "FP8_DYNAMIC")
EVERYTHING = ("W4A16", "W4A16_ASYM", "NF4", *EIGHT_BITS)
PLAN: tuple[tuple[tuple[int, int, int], tuple[str, ...]], ...] = (
    ((1, 8192, 16384), EVERYTHING),  # 64 MB in 4 bits
    ((4096, 4096, 4096), EVERYTHING),
    ((16, 8192, 8192), EVERYTHING),
    ((1, 4096, 4096), EVERYTHING),
    ((128, 8192, 8192), EVERYTHING),
    ((8192, 8192, 8192), EIGHT_BITS),
    ((1, 16384, 16384), (*FOUR_BITS, "W8A16")),
    ((4, 8192, 8192), EVERYTHING),
    ((8, 8192, 8192), EVERYTHING),
    ((2, 4096, 4096), FOUR_BITS),
    ((32, 8192, 8192), EVERYTHING),
    ((64, 8192, 8192), EVERYTHING),
    ((512, 8192, 8192), EVERYTHING),
    ((16, 4096, 14336), EVERYTHING),
    ((2048, 4096, 14336), EVERYTHING),
)
"""(M, N, K) and what is stored, the most telling first: the rest is left out where time is up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure until time is up; the report is kept after every cell."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda:0", metavar="cuda:N")
    parser.add_argument("--seconds", type=float, default=240.0, help="when to begin no more cells")
    parser.add_argument("--budget", type=float, default=1.5, help="seconds of timing for a cell")
    parser.add_argument("--out", type=Path, help="folder; default: reports/<gpu>")
    options = parser.parse_args(arguments)
    if words := no_gpu() or driver.current().find_obstacle():
        print(NOTHING + words)
        return 1
    start = time.perf_counter()
    warnings.simplefilter("ignore")  # Packages say things at every call.
    bed, device = Gpu(options.device), fingerprint(options.device)
    folder: Path = options.out or ROOT / "reports" / device.slug
    folder.mkdir(parents=True, exist_ok=True)
    commit, dirty = describe_commit()
    name = f"{datetime.now(UTC):%Y-%m-%d}-{commit}"
    facts, launch = measure_gpu(bed), _measure_launch(bed)
    before = bed.ask_under_load(lambda: _state(options.device))
    cells: list[GpuCell] = []
    left_out: list[str] = []

    def keep() -> None:
        after = bed.ask_under_load(lambda: _state(options.device))
        report = GpuReport(
            commit=commit,
            dirty=dirty,
            device=device,
            versions={package: version_of(package) for package in ("torch", *PACKAGES)},
            copy_bandwidth_bytes_per_s=facts.copy_bandwidth_bytes_per_s,
            peaks=facts.peaks,
            absent=absent_peaks(bed.device),
            cache_bytes=bed.cache_bytes(),
            launch=launch,
            conditions=judge(before, after) if before and after else None,
            wall_s=time.perf_counter() - start,
            cells=tuple(cells),
            left_out=tuple(left_out),
        )
        save_document(report, folder / f"{name}.json")
        write_text(gpu_page(report), folder / f"{name}.md")

    for (m, n, k), schemes in PLAN:
        if time.perf_counter() - start > options.seconds:
            left_out.append(f"M = {m}, N = {n}, K = {k}")
            continue
        print(f"[{time.perf_counter() - start:5.0f} s] M = {m}, N = {n}, K = {k}", file=sys.stderr)
        cells.append(measure_cell(Shape(m=m, n=n, k=k), bed, options.budget, schemes))
        torch.cuda.empty_cache()
        keep()
    keep()
    print(f"wrote {folder / name}.md")
    return 0 if any(cell.is_measured for cell in cells) else 1


def describe_commit() -> tuple[str, bool]:
    """The commit, and whether the tree differs from it; a copy without git is told in the environment."""
    told = os.environ.get("QPROBE_COMMIT")
    if told:
        return told[:10], os.environ.get("QPROBE_DIRTY", "0") != "0"

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        return commit, bool(git("status", "--porcelain", "--", "qprobe", "kernels", "tests"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", True


def _state(device: str) -> GpuState | None:
    return read_state(str(torch.cuda.get_device_properties(device).uuid))


def _measure_launch(bed: Gpu) -> LaunchCost:
    """A bare launch of the smallest kernel, and a whole layer of 4 bits around one, in turn.

    Of the layer's kernels the one that is launched with the most ado: a launch that may overlap the one before.
    """
    from qprobe.documents.plan import KernelRange
    from qprobe.documents.scheme import SCHEMES
    from qprobe.kernels.cuda.launch import Call
    from qprobe.kernels.registry import get_kernel
    from qprobe.layers import make_layer

    with bed.active(), torch.no_grad():
        x = torch.zeros(1, 1024, dtype=torch.float16, device=bed.device)
        bare = Call(all_sources()["copy"], "", bed.device.index or 0, {"n": 16}, ("x", "y"))
        target = torch.empty_like(x)
        linear = torch.nn.Linear(1024, 64, device=bed.device)
        found = [k for k in LAUNCHED if not get_kernel(k).absent(bed.name)]
        kernels = (KernelRange(kernel=found[0], m_min=1, m_max=None),)
        layer = make_layer(linear, SCHEMES["W4A16"], "rtn", kernels, torch.float16)
        layer(x)
        bare.run(x, target)
        rounds = [
            (host_seconds([lambda: bare.run(x, target)]), host_seconds([lambda: layer(x)]))
            for _ in range(LAUNCH_ROUNDS)
        ]
        bare_s, layer_s = (statistics.median(seconds) for seconds in zip(*rounds, strict=True))
        return LaunchCost(bare_s=bare_s, layer_s=layer_s)


if __name__ == "__main__":
    sys.exit(main())
