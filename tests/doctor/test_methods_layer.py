"""The script that tries a layer: it tells right from wrong, at every type and shape."""

from __future__ import annotations

import os
from math import isnan

import pytest
import torch
from torch import nn
from torch.nn import functional

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor._method import Method
from qprobe.doctor.execution.messages import End, Timed, parse_message
from qprobe.doctor.execution.report import Answer, Report
from qprobe.doctor.judge import Outcome, judge
from qprobe.doctor.scripts.codes import channel_codes, dequantize, group_codes, token_codes
from qprobe.doctor.scripts.layer import (
    SHAPES,
    choose_type,
    make_linear,
    make_rows,
    relative_error,
    try_layer,
    worst,
)
from qprobe.doctor.scripts.speed import QUICK_M


def quantized(linear, dtype, *, scale=1.0, bias=True, weight_known=True) -> Made:
    codes, scales = channel_codes(linear.weight)
    stored = dequantize(codes, scales)

    def run(x):
        y = functional.linear(x.float(), stored * scale, linear.bias if bias else None)
        return y.to(dtype)

    return Made(run, stored if weight_known else None)


def layer(make, **how) -> Layer:
    fields = {
        "package": "torch",
        "load": lambda: None,
        "dtypes": ("float32",),
        "weight_error": 0.02,
    }
    return Layer(make=make, **fields | how)


def heard(spec, done=frozenset()):
    read, write = os.pipe()
    try:
        report = Report(write, "cpu", done, is_full=False)
        try_layer(spec, report)
    finally:
        os.close(write)
    with os.fdopen(read, "rb") as stream:
        return [parse_message(line) for line in stream]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Layers and times that a test can afford."""
    monkeypatch.setattr("qprobe.doctor.scripts.layer.side_of", lambda _device, _is_full: 64)
    monkeypatch.setattr("qprobe.doctor.scripts.speed.QUICK_S", 0.0)
    monkeypatch.setattr("qprobe.doctor.scripts.ways.last_level_cache_bytes", lambda: 2**16)


def outcomes(messages):
    return [m.trial.outcome for m in messages if isinstance(m, End)][1:]  # after the import


def test_a_right_layer_is_right_everywhere_and_timed():
    messages = heard(layer(quantized, dtypes=("float32", "bfloat16")))
    assert outcomes(messages) == ["right"] * 2 * len(SHAPES)
    speeds = [m.speed for m in messages if isinstance(m, Timed)]
    assert [speed.m for speed in speeds] == list(QUICK_M)
    assert all(speed.ratio_low <= speed.ratio <= speed.ratio_high for speed in speeds)


@pytest.mark.parametrize("known", [True, False], ids=["weight-known", "weight-unknown"])
@pytest.mark.parametrize(
    "fault", [{"scale": 1.1}, {"scale": -1.0}, {"scale": 0.0}, {"scale": float("nan")}, {"bias": False}],
    ids=["scale", "sign", "zero", "nan", "bias"],
)  # fmt: skip
def test_a_wrong_scale_sign_or_bias_is_found(fault, known):
    messages = heard(layer(lambda w, t: quantized(w, t, weight_known=known, **fault)))
    assert outcomes(messages) == ["wrong"] * len(SHAPES)
    assert not [m for m in messages if isinstance(m, Timed)], "nothing wrong is timed"


def test_a_stored_weight_that_is_another_is_wrong_however_well_it_is_multiplied():
    def make(linear, dtype):
        other = make_linear(linear.out_features, linear.in_features, "cpu", seed=9).weight
        return Made(lambda x: functional.linear(x, other, linear.bias), other)

    messages = heard(layer(make))
    assert outcomes(messages) == ["wrong"] * len(SHAPES)
    trials = [m.trial for m in messages if isinstance(m, End)]
    assert trials[-1].words == "the stored weight"


def test_the_worst_of_several_ways_counts_and_is_named():
    def make(linear, dtype):
        return {"good": quantized(linear, dtype), "bad": quantized(linear, dtype, scale=2.0)}

    trials = [m.trial for m in heard(layer(make)) if isinstance(m, End)]
    assert {trial.words for trial in trials[1:]} == {"bad"}
    assert {trial.outcome for trial in trials[1:]} == {"wrong"}


def test_a_refusal_is_no_failure_and_a_failure_no_refusal():
    def refuse(linear, dtype):
        raise NotImplementedError("only sm_80")

    def fail(linear, dtype):
        return {}["missing"]

    assert outcomes(heard(layer(refuse))) == ["refused"] * len(SHAPES)
    assert outcomes(heard(layer(fail))) == ["failed"] * len(SHAPES)


@pytest.mark.parametrize(
    "text", ["CUDA error: an illegal memory access", "[enforce fail] can't allocate memory"]
)
def test_a_device_that_fails_is_no_refusal(text):
    def make(linear, dtype):
        raise RuntimeError(text)

    assert outcomes(heard(layer(make))) == ["failed"] * len(SHAPES)


def test_an_output_of_another_shape_is_refused_in_words():
    def make(linear, dtype):
        return Made(lambda x: x, None)

    trials = [m.trial for m in heard(layer(make)) if isinstance(m, End)]
    assert "the output is (32, 250), not (32, 256)" in trials[-1].words


def test_an_import_that_fails_ends_it():
    def load():
        raise ImportError("libcudart.so.12 is missing")

    (trial,) = [m.trial for m in heard(layer(quantized, load=load)) if isinstance(m, End)]
    assert (trial.name, trial.outcome) == ("import torch", "failed")
    assert trial.words == "ImportError: libcudart.so.12 is missing"


def test_steps_that_were_done_are_not_done_again():
    name = "float32, M = 32, N = 256, K = 256"
    trials = [m.trial for m in heard(layer(quantized), frozenset({name})) if isinstance(m, End)]
    assert name not in [trial.name for trial in trials]
    assert len(trials) == len(SHAPES)


def test_the_shapes_that_are_tried_are_awkward_too():
    assert any(m == 1 for m, _, _ in SHAPES)
    assert any(k % 4 for _, _, k in SHAPES)
    m, n, k = SHAPES[0]
    assert m > 16, "what torch._int_mm takes on a GPU"
    assert (m % 8, n % 16, k % 128) == (0, 0, 0), "a shape that nobody has a reason to refuse"


def test_a_layer_that_wants_more_than_16_rows_is_timed_where_it_has_them():
    """As on a GPU: verdicts go by the shapes that it takes, and tell those that it refuses."""

    def make(linear, dtype):
        fine = quantized(linear, dtype)

        def run(x):
            if len(x) <= 16 or x.shape[1] % 8:
                raise RuntimeError("self.size(0) needs to be greater than 16")
            return fine.run(x)

        return Made(run, fine.weight)

    messages = heard(layer(make))
    assert outcomes(messages)[: len(SHAPES)] == ["right", "refused", "refused", "refused"]
    assert [m.speed.m for m in messages if isinstance(m, Timed)] == [32]
    trials = tuple(m.trial for m in messages if isinstance(m, End))
    speeds = tuple(m.speed for m in messages if isinstance(m, Timed))
    method = Method("some", "Some", 8, "int8", lambda _report: None)
    verdict = judge(method, "cuda:0", Outcome(trials, speeds))
    assert verdict.verdict in ("fast", "works", "slow")
    assert "refuses M = 1, M = 3, K = 250: RuntimeError: self" in verdict.why


def test_a_way_that_gives_no_number_is_worse_than_any_number():
    answers = [Answer(0.5, 0.1), Answer(float("nan"), 0.1), Answer(9.0, 0.1)]
    for shift in range(3):
        found = worst(answers[shift:] + answers[:shift])
        assert isnan(found.error)


def test_the_rows_of_outliers_have_them():
    rows = make_rows(8, 250, "cpu", outliers=True)
    assert (rows < 0).any()
    assert (rows == 0).any()
    assert rows[:, 5].abs().max() > 6, "what LLM.int8() computes in 16 bits"


@pytest.mark.parametrize(("bits", "group"), [(8, 250), (4, 32), (4, 128)])
def test_codes_stand_for_the_weight(bits, group):
    weight = make_linear(32, 250 if group == 250 else 256, "cpu").weight
    codes, scale = group_codes(weight, bits, group)
    assert codes.int().abs().max() <= 2 ** (bits - 1)
    assert relative_error(weight, dequantize(codes, scale)) < (0.02 if bits == 8 else 0.16)


def test_token_codes_stand_for_the_rows():
    x = make_rows(5, 64, "cpu")
    x[2] = 0
    codes, scale = token_codes(x)
    assert relative_error(x, codes.float() * scale) < 0.02
    assert torch.isfinite(scale).all()


def test_a_layer_is_never_changed_by_trying_it():
    linear = make_linear(8, 8, "cpu")
    assert torch.equal(linear.weight, make_linear(8, 8, "cpu").weight)
    assert isinstance(linear, nn.Linear)


OFFERED = ("bfloat16", "float16", "float32")


def test_where_nothing_came_out_right_nothing_is_timed(monkeypatch):
    def refuse(_linear, _dtype):
        raise NotImplementedError("no such device")

    monkeypatch.delattr("qprobe.doctor.scripts.layer.best_types")  # it would ask the device
    trials = [message.trial for message in heard(layer(refuse)) if isinstance(message, End)]
    assert {trial.outcome for trial in trials[1:]} == {"refused"}


@pytest.mark.parametrize(
    ("offered", "right", "best", "expected"),
    [
        (OFFERED, OFFERED, ("float16", "float32", "bfloat16"), "float16"),
        (OFFERED, OFFERED, ("bfloat16", "float16", "float32"), "bfloat16"),
        (OFFERED, ("float32", "bfloat16"), ("float16", "float32", "bfloat16"), "bfloat16"),
        (OFFERED, ("float16",), ("bfloat16", "float16", "float32"), "float16"),
        (("bfloat16",), ("bfloat16",), ("float16", "float32", "bfloat16"), "bfloat16"),
        (OFFERED, (), ("bfloat16", "float16", "float32"), None),
    ],
)
def test_a_layer_is_timed_in_the_best_type_else_in_the_first_that_is_right(
    offered, right, best, expected
):
    assert choose_type(offered, right, best) == expected


def test_a_type_that_is_wrong_leaves_the_others_to_be_timed():
    """The first one alone was timed before, and a layer that is wrong in it was not."""

    def make(linear, dtype):
        return quantized(linear, dtype, scale=2.0 if dtype == torch.bfloat16 else 1.0)

    speeds = [m.speed for m in heard(layer(make, dtypes=OFFERED)) if isinstance(m, Timed)]
    assert {speed.activation_dtype for speed in speeds} <= {"float16", "float32"}
    assert len(speeds) == len(QUICK_M)
