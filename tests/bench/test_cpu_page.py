"""The page and what it is made of: the best of each kind, paired ratios, what was missed."""

from pathlib import Path

import pytest

from qprobe.documents.files import load_document, save_document
from qprobe.documents.machine import Machine
from tests.bench.cpu import read_report
from tests.bench.cpu_compare import decode_rate, duel, group_ratio, miss, plan_of
from tests.bench.cpu_page import write_page
from tests.bench.cpu_report import (
    CellResult,
    CpuReport,
    GroupResult,
    RequestResult,
    RowResult,
    VariantResult,
)

ROUNDS = 9
MACHINE = Path(__file__).parent.parent / "machines" / "xeon_amx.json"


def row(kind, label, bits, ms, **more):
    """Every round takes a little longer than the one before, for all rows alike."""
    drift = [1 + 0.1 * number for number in range(ROUNDS)] if ms else []
    fields = {"source": "qprobe" if kind in ("bundled", "unquantized") else "peer",
              "dtype": "float32", "status": "timed" if ms else "slow"}  # fmt: skip
    seconds = tuple(ms * 1e-3 * factor for factor in drift)
    return RowResult(kind=kind, label=label, bits=bits, seconds=seconds, **{**fields, **more})


def variant(kind, label, bits, prefill, decode, **more):
    fields = {"source": "qprobe", "dtype": "float32", "status": "timed"}
    return VariantResult(
        kind=kind,
        label=label,
        bits=bits,
        prefill_s=(prefill,) * ROUNDS,
        decode_s=(decode,) * ROUNDS,
        **{**fields, **more},
    )


@pytest.fixture(scope="module")
def report():
    cell = CellResult(
        k=4096,
        n=4096,
        m=1,
        rows=(
            row("unquantized", "NONE by reference", 32, 4.0),
            row("unquantized", "BF16 by reference", 16, 2.0, dtype="bfloat16"),
            row("bundled", "W8A8 by fast", 8, 1.0),
            row("bundled", "W8A8 by slow", 8, 3.0),
            row("bundled", "W4A16 by reference", 4, 3.0),
            row("torch", "eight", 8, 0.95),
            row("torch", "four", 4, 1.0),
            row("next", "eight", 8, 0.5, source="ONNX Runtime"),
            row("next", "hopeless", 4, 0.0, reason="a call would take some 99 s", alone_s=99.0),
        ),
    )
    request = RequestResult(
        model="a model",
        batch=1,
        prompt=32,
        generate=64,
        summary="What was decided.",
        compute_dtype="float32",
        predicted_s=1.0,
        predicted_uncertainty=0.1,
        variants=(
            variant("bundled", "the plan", None, 0.4, 0.8),
            variant("unquantized", "cast to bf16", 16, 0.5, 1.6, dtype="bfloat16"),
            variant("torch", "int4", 4, 0.6, 0.7, source="peer"),
            VariantResult(kind="torch", source="peer", label="int8", bits=8, dtype="float32",
                          status="failed", reason="SomeError: its words"),
        ),
        groups=(
            GroupResult(example="layers.0.mlp", groups=12, scheme="W8A8", kernels=("cpu.fast",),
                        shapes=((8, 16),), planned_s=(2.0,) * ROUNDS, unquantized_s=(1.0,) * ROUNDS),
        ),
    )  # fmt: skip
    return CpuReport(
        commit="0123456789",
        dirty=False,
        device=load_document(Machine, MACHINE).fingerprints["cpu"],
        threads=2,
        versions={"torch": "2.13.0", "hqq": None},
        wall_s=60.0,
        cells=(cell,),
        requests=(request,),
    )


def test_ratios_are_paired_so_that_drift_cancels(report):
    found = duel(report.cells[0], 8, "torch")
    assert found.ours.label == "W8A8 by fast"
    assert found.ratio.low == pytest.approx(found.ratio.high) == pytest.approx(1 / 0.95)
    assert found.verdict == "within"
    assert duel(report.cells[0], 4, "torch").verdict == "beyond"
    assert duel(report.cells[0], 4, "next") is None


def test_a_disturbed_cell_is_undecided(report):
    noisy = row("bundled", "W8A8 by noisy", 8, 1.0)
    slow = tuple(s * (0.9 if i % 2 else 1.5) for i, s in enumerate(noisy.seconds))
    cell = report.cells[0].model_copy(
        update={"rows": (noisy.model_copy(update={"seconds": slow}), row("torch", "p", 8, 1.0))}
    )
    found = duel(cell, 8, "torch")
    assert found.verdict == "undecided"
    assert found.is_disturbed
    assert "disturbed in 1" in write_page(report.model_copy(update={"cells": (cell,)}))


def test_figures_of_a_request(report):
    request = report.requests[0]
    assert miss(request) == pytest.approx(0.2)
    assert decode_rate(request, plan_of(request)) == pytest.approx(80.0)
    assert group_ratio(request.groups[0]).median == pytest.approx(2.0)


def test_the_page_is_made_from_the_file(report, tmp_path):
    file = tmp_path / "report.json"
    file.write_text(report.model_dump_json())
    page = write_page(CpuReport.model_validate_json(file.read_text()), ["a-plot.svg"])
    assert page == write_page(report, ["a-plot.svg"])
    for words in (
        "8 bits beside the best PyTorch-side peer, 1 cells: within 10% in 1",
        "not in 1 (K 4096 N 4096 M 1: 3.00 (3.00–3.00) × peer: four)",
        "4 bits beside the best next mark: nothing",
        "a call would take some 99 s",
        "ONNX Runtime leads in 1 cell, up to 2.00 times as fast: x is quantized",
        "![a-plot](a-plot.svg)",
        "hqq not installed",
        "published on another run",
        "+20%, missed",
        "2.00 (2.00–2.00), W8A8, slower",
        "SomeError: its words",
    ):
        assert words in page
    assert not any(line != line.rstrip() for line in page.splitlines())


def test_an_earlier_part_of_a_report_is_read_again(report, tmp_path):
    path = tmp_path / "report.json"
    assert read_report(path) is None
    save_document(report, path)
    assert read_report(path) == report


@pytest.mark.parametrize("part", ["cells", "requests"])
def test_half_a_report_is_a_page_too(report, part):
    page = write_page(report.model_copy(update={part: ()}))
    assert page.startswith("# ")


def test_a_prediction_across_a_change_of_the_machine_is_marked(report):
    [request] = report.requests
    near, far = (1.0, 1.1), (8.0, 7.7)
    moved = request.model_copy(update={"handover_planned": near, "handover_timed": far})
    steady = request.model_copy(update={"handover_planned": far, "handover_timed": far})
    page = [
        write_page(report.model_copy(update={"requests": (found,)}), [])
        for found in (moved, steady)
    ]
    assert ["processors moved" in text for text in page] == [True, False]
