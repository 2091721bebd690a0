from __future__ import annotations

import pytest

from qprobe.policy.error import PRIOR_CAST_POWER, PRIOR_NOISE, ErrorModel, is_cast
from tests.documents_factory import NOISES, block, linear, model, sensitivity

MODEL = model()
GROUPS = list(MODEL.groups())


def test_power_is_gain_times_the_mean_noise_of_the_layers():
    given = sensitivity(MODEL, gains={GROUPS[0]: 3.0})
    assert ErrorModel(MODEL, given).power(GROUPS[0], "W8A8", "rtn") == pytest.approx(3e-4)


def test_a_uniform_plan_is_predicted_as_it_was_measured():
    errors = ErrorModel(MODEL, sensitivity(MODEL, uniform=[("W8A8", "rtn", 0.004)]))
    total = sum(errors.power(group, "W8A8", "rtn") for group in GROUPS)
    assert total == pytest.approx(0.004)
    assert errors.power(GROUPS[0], "W8A16", "rtn") == pytest.approx(1e-5)


def test_groups_out_of_reach_and_heads_are_not_in_the_uniform_sum():
    head = linear("head", kind="head", rows="last_token")
    with_head = model([*block(0), head])
    given = sensitivity(with_head, gains={"layers.0.down": None}, uniform=[("W8A8", "rtn", 0.003)])
    errors = ErrorModel(with_head, given)
    covered = ["layers.0.qkv", "layers.0.out", "layers.0.up"]
    assert sum(errors.power(group, "W8A8", "rtn") for group in covered) == pytest.approx(0.003)
    assert errors.is_out_of_reach("layers.0.down")


def test_no_noise_at_all_is_no_division_by_zero():
    silent = dict.fromkeys(NOISES, 0.0)
    errors = ErrorModel(MODEL, sensitivity(MODEL, silent, uniform=[("W8A8", "rtn", 1e-3)]))
    assert errors.power(GROUPS[0], "W8A8", "rtn") == 0


def test_a_uniform_error_at_another_compute_type_does_not_calibrate():
    given = sensitivity(MODEL, uniform=[("W8A8", "rtn", 1.0)])
    other = [given.uniform[0].model_copy(update={"compute_dtype": "bfloat16"})]
    errors = ErrorModel(MODEL, given.model_copy(update={"uniform": tuple(other)}))
    assert errors.power(GROUPS[0], "W8A8", "rtn") == pytest.approx(1e-4)


def test_what_was_not_measured_is_not_known():
    errors = ErrorModel(MODEL, sensitivity(MODEL, {("W8A8", "rtn"): 1e-4}))
    assert errors.power(GROUPS[0], "W8A16", "rtn") is None


def test_the_rounding_of_a_cast_is_known_without_data():
    errors = ErrorModel(MODEL, sensitivity(MODEL, {}))
    assert errors.power(GROUPS[0], "BF16", "none") == PRIOR_NOISE["BF16", "none"]


def test_a_cast_that_was_measured_and_not_recorded_is_not_guessed():
    errors = ErrorModel(MODEL, sensitivity(MODEL, {("BF16", "none"): 1e-5}))
    assert errors.power(GROUPS[0], "BF16", "none") is not None
    assert errors.power(GROUPS[0], "FP16", "none") is None


def test_without_a_sensitivity_priors_share_the_output_and_activations_are_unknown():
    errors = ErrorModel(MODEL, None)
    expected = PRIOR_NOISE["W8A16", "rtn"] / len(GROUPS)
    assert errors.power(GROUPS[0], "W8A16", "rtn") == pytest.approx(expected)
    assert errors.power(GROUPS[0], "W8A8", "rtn") is None
    assert errors.cast_power("bfloat16") == PRIOR_CAST_POWER
    assert errors.method == "prior"


def test_a_cast_costs_the_noise_floor_once_and_widening_nothing():
    errors = ErrorModel(MODEL, sensitivity(MODEL))
    assert errors.cast_power("bfloat16") == 1e-5
    assert errors.cast_power("float32") == 0


@pytest.mark.parametrize(
    ("stored", "computed", "expected"),
    [
        ("float32", "bfloat16", True),
        ("float16", "bfloat16", True),
        ("bfloat16", "float32", False),
        ("bfloat16", "bfloat16", False),
    ],
)
def test_a_cast_is_what_loses_digits(stored, computed, expected):
    assert is_cast(stored, computed) is expected


def test_a_cast_to_another_type_than_the_floors_was_not_run():
    errors = ErrorModel(MODEL, sensitivity(MODEL))
    assert errors.estimate(1e-5, {}, "float16").method == "calibrated"


@pytest.mark.parametrize(
    ("changed", "dtype", "method"),
    [
        (dict.fromkeys(GROUPS, ("W8A8", "rtn")), "float32", "end_to_end"),
        (dict.fromkeys(GROUPS[1:], ("W8A8", "rtn")), "float32", "calibrated"),
        (dict.fromkeys(GROUPS, ("W8A8", "rtn")), "bfloat16", "calibrated"),
        (dict.fromkeys(GROUPS, ("W8A16", "rtn")), "float32", "calibrated"),
        ({}, "bfloat16", "end_to_end"),
        ({}, "float32", "calibrated"),
    ],
    ids=["uniform", "part", "uniform-cast", "not-run", "cast", "as-stored"],
)
def test_end_to_end_is_claimed_only_for_what_was_run(changed, dtype, method):
    errors = ErrorModel(MODEL, sensitivity(MODEL, uniform=[("W8A8", "rtn", 0.004)]))
    assert errors.estimate(1e-4, changed, dtype).method == method
