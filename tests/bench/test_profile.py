"""Profiles: run, interrupted, cached, extended."""

import dataclasses
import functools

import pytest
import torch

from qprobe.bench import _ensure as ensuring
from qprobe.bench import _rest as bench_rest
from qprobe.bench import _run as running
from qprobe.bench import _shape as bench_shape
from qprobe.bench import ensure_profile, run_bench, wanted_shapes
from qprobe.bench._bed import find_bed
from qprobe.bench._shape import COLD
from qprobe.checkpoint import read_model
from qprobe.documents.objective import Objective
from qprobe.documents.profile import Shape
from qprobe.errors import InputError, QprobeError
from qprobe.probe import probe_machine
from tests.checkpoints import tiny_bert, tiny_llama


@pytest.fixture(scope="module")
def machine():
    return probe_machine(bandwidth=False)


# Each shape is measured for one test; the others are about what is asked for and kept.
measure_once = functools.cache(running.measure_shape)


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(running, "measure_shape", measure_once)
    monkeypatch.setattr(bench_shape, "MAX_COPIES", 2)
    monkeypatch.setattr(bench_shape, "MIN_SAMPLES", 2)
    monkeypatch.setattr(bench_rest, "BUDGET_S", 0.1)
    monkeypatch.setattr(bench_shape, "BUDGET_S", 0.01)
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def measured(monkeypatch):
    """The shapes that were measured, in order."""
    seen = []
    exact = running.measure_shape

    def listen(shape, *how):
        seen.append(shape)
        return exact(shape, *how)

    monkeypatch.setattr(running, "measure_shape", listen)
    return seen


def test_every_shape_at_every_m(machine):
    profile = run_bench(machine, "cpu", [(8, 16), (4, 4)], [1, 3])
    assert profile.shapes() == {Shape(m=m, n=n, k=k) for m in (1, 3) for n, k in ((8, 16), (4, 4))}
    assert not profile.interrupted
    assert set(profile.peaks) == {"float32", "bfloat16", "int8"}
    assert profile.fingerprint == machine.fingerprints["cpu"]


@pytest.mark.parametrize(
    ("shapes", "m"), [([], [1]), ([(8, 8)], []), ([(0, 8)], [1]), ([(8, 8)], [-1])]
)
def test_impossible_sizes_are_refused(machine, shapes, m):
    with pytest.raises(InputError, match="cannot measure"):
        run_bench(machine, "cpu", shapes, m)


def test_a_device_that_the_machine_does_not_have_is_refused(machine):
    with pytest.raises(InputError, match="knows no device cuda:0"):
        run_bench(machine, "cuda:0", [(8, 8)], [1])


def test_an_interrupt_keeps_what_was_measured(machine, monkeypatch):
    exact, calls = running.measure_shape, []

    def interrupt(shape, *how):
        calls.append(shape)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return exact(shape, *how)

    monkeypatch.setattr(running, "measure_shape", interrupt)
    profile = run_bench(machine, "cpu", [(8, 16), (4, 4), (2, 2)], [1])
    assert profile.interrupted
    assert profile.shapes() == {Shape(m=1, n=8, k=16)}


def test_wanted_shapes_follow_the_rules_of_rows(tmp_path):
    bert = read_model(tiny_bert(tmp_path / "bert"))
    shapes = wanted_shapes(bert, Objective(batch=3, prompt=5))
    assert Shape(m=15, n=128, k=64) in shapes
    assert Shape(m=3, n=64, k=64) in shapes, "the pooler sees one token a sequence"
    llama = read_model(tiny_llama(tmp_path / "llama"))
    shapes = wanted_shapes(llama, Objective(batch=2, prompt=5, generate=4))
    assert {s.m for s in shapes if s.n == 96} == {2}, "the head sees the last token"
    assert {s.m for s in shapes if s.n == 160} == {10, 2}


def test_only_what_is_missing_is_measured(machine, tmp_path, measured):
    path = tiny_bert(tmp_path / "bert")
    model = read_model(path)
    first = ensure_profile(model, Objective(batch=1, prompt=6), "cpu", machine, path=path)
    assert len(measured) == len(set(measured)) == len(first.shapes())
    assert {(rest.batch, rest.prompt, rest.dtype) for rest in first.rest} == {
        (1, 6, "float32"),
        (1, 6, "bfloat16"),
    }
    before = len(measured)
    again = ensure_profile(model, Objective(batch=1, prompt=6), "cpu", machine, path=path)
    assert len(measured) == before
    assert again.measurements == first.measurements
    assert again.rest == first.rest
    ensure_profile(model, Objective(batch=1, prompt=7), "cpu", machine, path=path)
    assert {shape.m for shape in measured[before:]} == {7}


def test_never_measures_nothing(machine, tmp_path, measured):
    model = read_model(tiny_bert(tmp_path / "bert"))
    profile = ensure_profile(model, Objective(), "cpu", machine, measure="never")
    assert measured == []
    assert profile.measurements == ()
    assert profile.peaks


@pytest.mark.parametrize("change", ["sources", "hardware", "content", "kernels"])
def test_what_was_measured_otherwise_is_measured_anew(
    machine, tmp_path, measured, monkeypatch, change
):
    model = read_model(tiny_bert(tmp_path / "bert"))
    ensure_profile(model, Objective(batch=1, prompt=6), "cpu", machine)
    before = len(measured)
    if change == "sources":
        monkeypatch.setattr(ensuring, "hash_sources", lambda: "0" * 16)
    elif change == "hardware":
        other = machine.fingerprints["cpu"].model_copy(update={"features": ("amx_int8",)})
        machine = machine.model_copy(update={"fingerprints": {"cpu": other}})
    elif change == "kernels":  # As after what was missing is installed.
        facts = ensuring.kernel_facts("cpu")
        lacking = next(fact.kernel for fact in facts if fact.available)
        facts = tuple(fact for fact in facts if fact.kernel != lacking)
        monkeypatch.setattr(ensuring, "kernel_facts", lambda _: facts)
    else:
        for file in (tmp_path / "cache" / "profile").iterdir():
            file.write_text(file.read_text()[:-40])
    ensure_profile(model, Objective(batch=1, prompt=6), "cpu", machine)
    assert len(measured) == 2 * before


def test_a_shape_that_the_device_has_no_memory_for_is_left_out(machine, monkeypatch, caplog):
    listening = running.measure_shape

    def run_out(shape, *how):
        if shape.n == 64:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return listening(shape, *how)

    monkeypatch.setattr(running, "measure_shape", run_out)
    profile = run_bench(machine, "cpu", [(64, 32), (32, 32)], [1])
    assert profile.shapes() == {Shape(m=1, n=32, k=32)}
    assert not profile.skipped or {s.cell.shape.n for s in profile.skipped} == {32}
    assert "M = 1, N = 64, K = 32 is not measured: cpu has no memory for it" in caplog.text


def test_an_interrupt_leaves_the_cache_with_what_was_measured(
    machine, tmp_path, monkeypatch, measured
):
    model = read_model(tiny_bert(tmp_path / "bert"))
    listening, stop = running.measure_shape, []

    def interrupt(shape, *how):
        if len(measured) == 2 and not stop:
            stop.append(True)
            raise KeyboardInterrupt
        return listening(shape, *how)

    monkeypatch.setattr(running, "measure_shape", interrupt)
    profile = ensure_profile(model, Objective(batch=1, prompt=6), "cpu", machine)
    assert profile.interrupted
    assert len(profile.shapes()) == 2
    whole = ensure_profile(model, Objective(batch=1, prompt=6), "cpu", machine)
    assert not whole.interrupted
    assert len(measured) == len(set(measured)), "nothing was measured twice"


def test_a_small_model_is_measured_over_as_many_weights_as_it_has(machine, tmp_path, monkeypatch):
    """They stay in the caches, where those of a large model with layers of the same shapes do not."""
    model, swept = read_model(tiny_bert(tmp_path / "bert")), []
    exact = running.measure_shape

    def listen(shape, device, weights):
        swept.append(weights)
        return exact(shape, device, weights)

    monkeypatch.setattr(running, "measure_shape", listen)
    asked = Objective(batch=1, prompt=6)
    small = ensure_profile(model, asked, "cpu", machine)
    assert small.weights == model.linear_weights == sum(x.n * x.k for x in model.linears)
    assert set(swept) == {small.weights}
    swept.clear()
    in_cache = 2 * COLD * find_bed("cpu").cache_bytes()  # Weights of 4 bits.
    many = tuple(
        model.linears[0].model_copy(update={"tensor": f"{i}.weight", "fusion_group": f"{i}", "n": 2**20, "k": 2**10})
        for i in range(1 + in_cache // 2**30)
    )  # fmt: skip
    monkeypatch.setattr(ensuring, "wanted_shapes", lambda *_: small.shapes())
    large = ensure_profile(model.model_copy(update={"linears": many}), asked, "cpu", machine)
    assert large.weights is None
    assert set(swept) == {None}
    assert ensure_profile(model, asked, "cpu", machine, measure="never").weights == small.weights


def test_a_cache_that_cannot_be_written_is_no_error(machine, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "file"))
    model = read_model(tiny_bert(tmp_path / "bert"))
    assert ensure_profile(model, Objective(batch=1, prompt=6), "cpu", machine).measurements


def test_an_encoder_that_shall_generate_is_refused(machine, tmp_path):
    path = tiny_bert(tmp_path / "bert")
    with pytest.raises(QprobeError, match="generates none"):
        ensure_profile(
            read_model(path), Objective(batch=1, prompt=6, generate=2), "cpu", machine, path=path
        )


def test_the_rest_of_a_decoder_has_a_part_for_each_token(machine, tmp_path):
    path = tiny_llama(tmp_path / "llama")
    objective = Objective(batch=1, prompt=6, generate=3)
    profile = ensure_profile(read_model(path), objective, "cpu", machine, path=path)
    assert all(rest.decode_s_per_token > 0 for rest in profile.rest)


def test_seconds_are_expressed_at_the_speed_of_the_middle_of_the_run(machine, monkeypatch):
    """A machine that is twice as slow for one shape is not taken to be slow at that shape."""
    exact, slow = running.measure_shape, Shape(m=1, n=8, k=16)

    def drifting(shape, *how):
        found = exact(shape, *how)
        factor = 2.0 if shape == slow else 1.0
        scaled = [
            m.model_copy(update={"median_s": 1e-3 * factor, "p20_s": 1e-3, "p80_s": 2e-3})
            for m in found.measurements
        ]
        return dataclasses.replace(found, measurements=scaled, yardstick_s=3e-3 * factor)

    monkeypatch.setattr(running, "measure_shape", drifting)
    profile = run_bench(machine, "cpu", [(8, 16), (4, 4), (2, 2)], [1])
    assert profile.yardstick_s == pytest.approx(3e-3)
    assert {round(m.median_s, 9) for m in profile.measurements} == {1e-3}
