"""The report of a GPU from planted samples, and what `make gpu` does without one."""

import subprocess
import sys

import pytest

from qprobe.documents.files import save_document
from qprobe.documents.machine import Fingerprint
from qprobe.documents.profile import Peak
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.gpus import no_gpu
from tests.bench.gpu import PLAN, ROOT, describe_commit
from tests.bench.gpu_marks import BIG_BYTES, is_large
from tests.bench.gpu_page import gpu_page
from tests.bench.gpu_report import GpuCell, GpuReport, GpuRow, LaunchCost

DEVICE = Fingerprint(
    slug="h100",
    kind="cuda",
    name="NVIDIA H100",
    features=("sm_90",),
    units=132,
    memory_bytes=80 * 2**30,
    software={"torch": "2.11"},
)


def row(kind, label, scheme, seconds, size=0, dtype="bfloat16", **more):
    return GpuRow(kind=kind, label=label, scheme=scheme, dtype=dtype, status="timed",
                  weight_bytes=size, error=1e-2, host_s=6e-6, seconds=(seconds,) * 7, **more)  # fmt: skip


def report(**changes):
    small = GpuCell(
        m=1, n=8192, k=16384, copies=4,
        rows=(
            row("baseline", "reference", "BF16", 100e-6, 268e6),
            row("bundled", "cuda.gemv_w4a16", "W4A16", 25e-6, 69e6),
            row("peer", "gemlite int4", "W4A16", 30e-6, 69e6),
            GpuRow(kind="torch", label="cuda.int4pack", scheme="W4A16", dtype="bfloat16",
                   status="failed", reason="no luck"),
        ),
    )  # fmt: skip
    large = GpuCell(
        m=4096, n=4096, k=4096, copies=2,
        rows=(
            row("bundled", "cuda.gemm_s8_wgmma", "W8A8", 100e-6),
            row("bundled", "cuda.gemm_s8_mma", "W8A8", 250e-6),
            row("bundled", "cuda.gemm_s8_dp4a", "W8A8", 2500e-6),
            row("torch", "cuda.int_mm", "W8A8", 80e-6),
            row("baseline", "reference", "BF16", 300e-6),
            row("bundled", "cuda.dequantize_w4", "W4A16", 310e-6),
            row("torch", "cuda.int4pack", "W4A16", 400e-6),
            row("peer", "gemlite int4", "W4A16", 200e-6),
        ),
        products=(
            row("bundled", "cuda.gemm_s8_wgmma", "W8A8", 90e-6),
            row("bundled", "cuda.gemm_s8_mma", "W8A8", 240e-6),
            row("bundled", "cuda.gemm_s8_mma_turing", "W8A8", 900e-6),
            row("torch", "torch._int_mm", "W8A8", 60e-6, dtype="int32").model_copy(update={"error": None}),
            GpuRow(kind="bundled", label="cuda.gemm_s8_wgmma_tma", scheme="W8A8", dtype="bfloat16",
                   status="failed", reason="no luck either"),
        ),
    )  # fmt: skip
    fields = {
        "commit": "abc",
        "dirty": False,
        "device": DEVICE,
        "versions": {"torch": "2.11", "gemlite": None},
        "copy_bandwidth_bytes_per_s": 3e12,
        "peaks": {
            "peak_wgmma": Peak(ops_per_s=1.6e15, support="native"),
            "peak_imma": Peak(ops_per_s=1e15, support="native"),
        },
        "absent": {"peak_fp8": "compute capability 8.0 has no qmma_16832_fp8"},
        "cache_bytes": 50 * 2**20,
        "launch": LaunchCost(bare_s=3e-6, layer_s=11e-6),
        "conditions": None,
        "wall_s": 200.0,
        "cells": (small, large),
        "left_out": ("M = 2, N = 8, K = 8",),
    }
    return GpuReport(**fields | changes)


@pytest.mark.parametrize(
    "line",
    [
        "| peak_fp8 | – | compute capability 8.0 has no qmma_16832_fp8 |",
        "| W4A16 at M = 1, N = 8192, K = 16384: share of the copy | 0.92 (0.92–0.92) | reached (≥ 0.85) |",
        "| W4A16 bfloat16 at M = 1, N = 8192, K = 16384: times 16 bits | 4.00 (4.00–4.00) | reached (≥ 3.0) |",
        "| cuda.gemm_s8_wgmma at M = 4096, N = 4096, K = 4096, product alone: share of peak_wgmma | 0.95 (0.95–0.95) | reached (≥ 0.7) |",
        "| cuda.gemm_s8_mma at M = 4096, N = 4096, K = 4096, product alone: share of peak_imma | 0.57 (0.57–0.57) | missed (≥ 0.6) |",
        "| cuda.gemm_s8_wgmma at M = 4096, N = 4096, K = 4096, product alone: speed over torch._int_mm | 0.67 (0.67–0.67) | missed (≥ 0.9) |",
        "| cuda.gemm_s8_wgmma at M = 4096, N = 4096, K = 4096, layer with its quantizer: speed over cuda.int_mm's | 0.80 (0.80–0.80) | nothing was asked |",
        "| cuda.gemm_s8_wgmma | bfloat16 | 90.00 | 1527 | 100.00 | 1.0e-02 |",
        "| torch._int_mm | int32 | 60.00 | 2291 | – | – |",
        "- cuda.gemm_s8_wgmma_tma W8A8 bfloat16, product alone, was not timed: no luck either",
        "| W4A16 bfloat16 at M = 4096, N = 4096, K = 4096: cuda.dequantize_w4 over 16 bits | 0.97 (0.97–0.97) | missed (not slower) |",
        "| a layer over a bare launch | 8.0 µs | missed (≤ 5 µs) |",
        "- cuda.int4pack W4A16 bfloat16 was not timed: no luck",
        "There was no time for M = 2, N = 8, K = 8.",
        "Clocks, throttling and other processes are unknown: NVML did not answer.",
    ],
)
def test_marks_are_reached_or_missed_by_the_samples(line):
    assert line in gpu_page(report()).splitlines()


def test_reports_from_before_products_were_timed_alone_are_read():
    """They say so, rather than hold layers against what is asked of products."""
    paths = [p for p in (ROOT / "reports").glob("*/*.json") if '"gpu_report"' in p.read_text()]
    assert paths
    for path in paths:
        old = GpuReport.model_validate_json(path.read_text())
        page = gpu_page(old)
        assert "share of the copy" in page
        has_large = any(is_large(cell.m, cell.n, cell.k) for cell in old.cells)
        if has_large and not any(cell.products for cell in old.cells):
            assert (
                "| int8 at M = 4096, N = 4096, K = 4096, product alone | – | not measured |" in page
            )
            assert "share of peak" not in page
            assert "torch._int_mm" not in page


def test_products_alone_are_kept_with_the_report(tmp_path):
    found = report()
    save_document(found, tmp_path / "report.json")
    assert GpuReport.model_validate_json((tmp_path / "report.json").read_text()) == found


def test_weights_of_64_mb_at_4_bits_are_measured_at_more_than_one_size():
    for scheme in ("W4A16", "NF4", "W8A16"):
        sizes = {
            SCHEMES[scheme].weight_bytes(n, k, "float16")
            for (m, n, k), stored in PLAN
            if m == 1 and scheme in stored
        }
        assert len([size for size in sizes if size >= BIG_BYTES]) > 1, scheme


def spread(middle, width):
    """Nine samples around the middle."""
    return tuple(middle * (1 + width * (i - 4) / 4) for i in range(9))


@pytest.mark.parametrize(
    ("middle", "width", "word"),
    [(0.80, 0.01, "reached"), (0.90, 0.2, "undecided"), (1.1, 0.01, "missed")],
)
def test_a_mark_is_reached_where_its_whole_interval_is(middle, width, word):
    """A share of 0.85 is asked: of 69 MB at 3 TB/s, 23 µs."""
    fast = 69e6 / 3e12 / 0.85
    gemv = row("bundled", "cuda.gemv_w4a16", "W4A16", 1.0, 69e6)
    gemv = gemv.model_copy(update={"seconds": spread(fast * middle, width)})
    page = gpu_page(report(cells=(GpuCell(m=1, n=8192, k=16384, copies=4, rows=(gemv,)),)))
    (line,) = (line for line in page.splitlines() if "share of the copy" in line)
    assert line.endswith(f"| {word} (≥ 0.85) |")


@pytest.mark.parametrize(("factor", "word"), [(0.9, "reached"), (1.02, "reached"), (1.4, "missed")])
def test_not_slower_is_what_the_interval_allows(factor, word):
    base = row("baseline", "reference", "BF16", 1.0)
    base = base.model_copy(update={"seconds": spread(1e-3, 0.1)})
    ours = row("bundled", "cuda.dequantize_w4", "W4A16", 1.0)
    ours = ours.model_copy(update={"seconds": tuple(reversed(spread(1e-3 * factor, 0.1)))})
    page = gpu_page(report(cells=(GpuCell(m=512, n=64, k=64, copies=2, rows=(base, ours)),)))
    (line,) = (line for line in page.splitlines() if "cuda.dequantize_w4 over 16 bits |" in line)
    assert line.endswith(f"| {word} (not slower) |")


def test_the_fastest_comes_first_with_its_ratio():
    lines = gpu_page(report()).splitlines()
    first = lines.index("## M = 1, N = 8192, K = 16384") + 4
    assert lines[first].startswith(
        "| cuda.gemv_w4a16 | W4A16 | bfloat16 | 25.00 | 4.00 (4.00–4.00)"
    )


def test_where_nothing_was_timed_the_page_says_so_plainly():
    failed = GpuRow(kind="bundled", label="cuda.gemv_w4a16", scheme="W4A16", dtype="float16",
                    status="failed", reason="no luck")  # fmt: skip
    empty = GpuCell(m=1, n=64, k=64, copies=2, rows=(failed,))
    for cells in ((), (empty,)):
        page = gpu_page(report(cells=cells))
        assert "**No speed of any kernel was measured in this run.**" in page
        assert "| reached" not in page
    assert "No speed was measured for this shape." in page
    assert "cuda.gemv_w4a16 W4A16 float16 was not timed: no luck" in page
    some = gpu_page(report(cells=(*report().cells, empty)))
    assert "of any kernel" not in some
    assert some.count("No speed was measured for this shape.") == 1
    assert "No speed" not in gpu_page(report())


def test_a_tree_with_changes_is_told():
    assert "with changes that are not committed" in gpu_page(report(dirty=True))


def test_the_commit_may_be_told_by_the_environment(monkeypatch):
    monkeypatch.setenv("QPROBE_COMMIT", "0123456789abcdef")
    assert describe_commit() == ("0123456789", False)
    monkeypatch.setenv("QPROBE_DIRTY", "1")
    assert describe_commit() == ("0123456789", True)


@pytest.mark.parametrize("module", ["tests.gpu", "tests.bench.gpu"])
def test_without_a_gpu_nothing_is_measured_and_that_is_a_failure(module):
    if not no_gpu():
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "nothing was measured" in done.stdout
    assert no_gpu() in done.stdout
    assert done.stderr == ""


def test_a_python_without_torch_measures_nothing_and_says_so():
    done = subprocess.run(
        ["make", "gpu", f"PYTHON={sys.executable} -S"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "nothing was measured" in done.stderr
    assert "has no torch" in done.stderr
    assert "Traceback" not in done.stderr
