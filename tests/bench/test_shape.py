"""One shape measured: every candidate accounted for, verified before it is timed."""

import dataclasses
import math
import time

import pytest
import torch

from qprobe.bench import _bed
from qprobe.bench import _shape as bench_shape
from qprobe.bench._between import make_interlude
from qprobe.bench._candidates import list_candidates
from qprobe.bench._shape import measure_shape
from qprobe.documents.profile import Shape
from qprobe.kernels import registry
from qprobe.kernels.registry import kernels_for
from qprobe.layers._verification import random_linear


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench_shape, "MAX_COPIES", 2)
    monkeypatch.setattr(bench_shape, "MIN_SAMPLES", 2)
    monkeypatch.setattr(bench_shape, "BUDGET_S", 0.02)


@pytest.mark.parametrize("shape", [Shape(m=1, n=1, k=1), Shape(m=3, n=33, k=70), Shape(m=260, n=8, k=16)],
                         ids=["ones", "odd", "tall"])  # fmt: skip
def test_every_candidate_is_measured_or_skipped_with_a_reason(shape):
    found = measure_shape(shape, "cpu")
    measurements, skipped = found.measurements, found.skipped
    cells = [item.cell for item in (*measurements, *skipped)]
    assert sorted(map(str, cells)) == sorted(str(c.cell) for c in list_candidates(shape, "cpu"))
    assert all(item.reason for item in skipped)
    for item in measurements:
        assert 0 < item.p20_s <= item.median_s <= item.p80_s
        assert item.relative_error < 0.2


def test_the_unquantized_layer_is_always_among_them():
    found = measure_shape(Shape(m=2, n=8, k=8), "cpu")
    measurements, _ = found.measurements, found.skipped
    cells = {(i.cell.scheme, i.cell.kernel, i.cell.activation_dtype) for i in measurements}
    assert ("NONE", "reference", "float32") in cells
    assert ("BF16", "reference", "bfloat16") in cells


def test_a_layer_after_another_on_the_same_input_is_timed_where_it_makes_a_difference():
    kernels = {kernel.id: kernel for kernel in kernels_for("cpu")}
    for m in (4, bench_shape.WARM_M):
        for item in measure_shape(Shape(m=m, n=8, k=8), "cpu").measurements:
            differs = kernels[item.cell.kernel].input != "float" or m < bench_shape.WARM_M
            assert (item.shared_input_s is not None) == differs


def test_other_work_comes_before_each_layer_and_is_not_counted(monkeypatch):
    ran = []

    def make_interlude(rows, features):
        assert (rows, features) == (3, 4)
        return lambda: ran.append("other") or time.sleep(0.01)

    monkeypatch.setattr(_bed, "make_interlude", make_interlude)
    task = _bed.Processor().time_layers([lambda _x: ran.append("layer")], [torch.ones(3, 4)]).task
    start = task.clock()
    for counter in range(5):
        task.run(counter)
    assert ran == ["other", "layer"] * 5
    assert 0 < task.clock() - start < 0.01


@pytest.mark.parametrize(("rows", "features"), [(1, 1), (3, 70), (5000, 4096)])
def test_what_comes_before_is_of_the_size_of_the_input_and_never_large(rows, features):
    y = make_interlude(rows, features)()
    assert torch.isfinite(y).all()
    assert y.numel() == min(rows, 64) * min(features, 256)


@pytest.mark.parametrize(
    ("weights", "copies"), [(None, 64), (10 * 8 * 16, 10), (8 * 16 + 1, 2), (1, 2)]
)
def test_weights_are_rotated_over_no_more_copies_than_the_model_has(monkeypatch, weights, copies):
    monkeypatch.setattr(bench_shape, "MAX_COPIES", 64)
    shape, most = Shape(m=1, n=8, k=16), math.inf if weights is None else weights
    assert bench_shape._count_copies(shape, 8 * 16, _bed.Processor(), most) == copies


def test_a_kernel_that_gives_wrong_numbers_is_not_timed(monkeypatch):
    exact = registry.get_kernel("reference")

    def slightly_wrong(x, x_scale, packed, bias, dtype):
        return exact.run(x, x_scale, packed, bias, dtype) * 1.001

    wrong = dataclasses.replace(exact, run=slightly_wrong, id="wrong")
    kernels = {"reference": exact, "wrong": wrong}
    monkeypatch.setattr(registry, "all_kernels", lambda: kernels)
    found = measure_shape(Shape(m=4, n=8, k=16), "cpu")
    measurements, skipped = found.measurements, found.skipped
    refused = {item.cell.scheme for item in skipped if item.cell.kernel == "wrong"
               and item.cell.activation_dtype == "float32" and "wrong numbers" in item.reason}  # fmt: skip
    # A layer of scheme BF16 may be off by this much: it rounds more coarsely.
    assert refused >= {"W8A8", "W8A16"}
    assert not any(
        item.cell.kernel == "wrong"
        and item.cell.scheme in refused
        and item.cell.activation_dtype == "float32"
        for item in measurements
    )


def test_data_are_the_same_each_time():
    generator = torch.Generator().manual_seed(0)
    first = random_linear(3, 4, generator)
    again = random_linear(3, 4, torch.Generator().manual_seed(0))
    assert torch.equal(first.weight, again.weight)
