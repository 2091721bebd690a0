from __future__ import annotations

import pytest

from qprobe.policy.problem import RULES, pose
from tests.documents_factory import (
    INT8_FACT,
    REFERENCE_FACT,
    by_ops,
    fact,
    linear,
    measured_profile,
    model,
    objective,
    sensitivity,
)

MODEL = model(
    [linear("w"), linear("far"), linear("head", kind="head"), linear("pin"), linear("odd")]
)
FACTS = (
    REFERENCE_FACT,
    INT8_FACT,
    fact("cpu.other", ("W8A8",), available=False, reason="needs AMX"),
)
BY_NAME = {rule.name: rule for rule in RULES}


def said(rule, group, scheme, packing="reference", known="calibrated", speeds=None):
    """What a rule says of one candidate."""
    given = None
    if known == "calibrated":
        given = sensitivity(MODEL, gains={"far": None})
        given = given.model_copy(
            update={"layers": tuple(layer for layer in given.layers if layer.tensor != "odd")}
        )
    on = measured_profile(MODEL, by_ops(speeds), facts=FACTS)
    problem = pose(MODEL, on, objective(pinned={"pin": "W8A16"}), given)
    (candidate,) = [
        option.candidate
        for option in problem.options["float32"][group]
        if (option.candidate.scheme.name, option.candidate.packing) == (scheme, packing)
    ]
    return BY_NAME[rule].objections(candidate, problem.context)


def test_the_rules_are_these():
    assert list(BY_NAME) == [
        "availability",
        "calibration",
        "head",
        "known_error",
        "pinned",
        "reach",
        "speed",
    ]


@pytest.mark.parametrize(
    ("rule", "group", "scheme", "packing", "known", "reason"),
    [
        ("availability", "w", "W8A8", "cpu.other", "calibrated", "cpu.other: needs AMX"),
        ("calibration", "w", "W8A8", "reference", "prior", "needs calibration"),
        ("head", "head", "W8A16", "reference", "calibrated", "unless pinned"),
        ("known_error", "odd", "W8A16", "reference", "calibrated", "W8A16 by rtn is not known"),
        ("pinned", "pin", "NONE", "reference", "calibrated", "is pinned to W8A16"),
        ("reach", "far", "W8A16", "reference", "calibrated", "seen at the last hidden state"),
        ("speed", "w", "W8A16", "reference", "calibrated", "100 % slower"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_each_rule_objects(rule, group, scheme, packing, known, reason):
    (found,) = said(rule, group, scheme, packing, known)
    assert reason in found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_objects_to_an_ordinary_layer_as_it_is(rule):
    assert said(rule.name, "w", "NONE") == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_objects_to_what_is_fast_and_calibrated(rule):
    assert said(rule.name, "w", "W8A8", "cpu.onednn_qlinear") == ()


@pytest.mark.parametrize("group", ["head", "far", "odd"])
def test_what_stays_as_it_is_meets_no_objection(group):
    assert all(said(rule.name, group, "NONE") == () for rule in RULES)


def test_weights_alone_may_be_quantized_without_calibration():
    assert said("calibration", "w", "W8A16", known="prior") == ()


def test_a_pinned_group_may_be_slow():
    assert said("speed", "pin", "W8A16") == ()


def test_slower_within_the_doubt_of_the_measurement_is_no_objection():
    assert said("speed", "w", "W8A8", "cpu.onednn_qlinear", speeds={"W8A8": 0.98}) == ()
    (found,) = said("speed", "w", "W8A8", "cpu.onednn_qlinear", speeds={"W8A8": 0.9})
    assert found == (
        "cpu.onednn_qlinear: 11.7 µs against 10.5 µs unquantized (measured): 11.1 % slower"
    )


def test_only_speed_yields_to_memory():
    assert [rule.name for rule in RULES if rule.yields_to_memory] == ["speed"]
