from __future__ import annotations

import pytest

from qprobe.documents.base import Quantity
from qprobe.documents.files import to_json
from qprobe.documents.scheme import SCHEMES
from qprobe.policy import make_plan, words
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

MODEL = model()
FIRST = "layers.0.up"
QUANTIZED = [name for name, scheme in SCHEMES.items() if scheme.is_quantized]


def section(of=MODEL, speeds=None, known=None, **asked):
    on = measured_profile(of, by_ops(speeds), **asked.pop("profile", {}))
    plan = make_plan(of, on, objective(**asked), known or sensitivity(of))
    return plan.targets[plan.primary]


def rejected(found, group=FIRST):
    return {item.scheme: item.reasons for item in found.groups[group].rejected}


def test_the_chosen_is_explained_by_time_bytes_and_error():
    assert section().groups[FIRST].reasons == (
        "21.0 µs against 41.9 µs unquantized (measured at M = 128)",
        "18.0 KiB against 65.0 KiB unquantized",
        "takes 4.00 % of the error budget",
    )


def test_decoding_is_named_beside_prefill():
    found = section(generate=5)
    assert "(measured at M = 128 and 1)" in found.groups[FIRST].reasons[0]


def test_every_other_scheme_is_rejected_with_a_reason():
    found = rejected(section())
    assert list(found) == [name for name in SCHEMES if name not in ("FP16", "W8A8")]
    assert "costs 21.0 µs more than the chosen, 41.9 µs against 21.0 µs" in found["NONE"][0]
    assert "100 % slower" in found["W8A16"][0]


def test_all_objections_are_listed():
    facts = (REFERENCE_FACT, INT8_FACT, fact("gone", ("W8A8",), available=False, reason="no AMX"))
    of = model([linear("head", kind="head"), linear("w")])
    reasons = rejected(section(of, profile={"facts": facts}, speeds={"W8A8": 0.5}), "head")["W8A8"]
    assert any("no AMX" in reason for reason in reasons)
    assert any("heads stay" in reason for reason in reasons)
    assert any("slower" in reason for reason in reasons)
    assert len(reasons) == len(set(reasons))


def test_an_error_that_does_not_fit_is_said_with_its_share():
    found = rejected(section(error=0.005))
    assert found["W8A8"][-1].startswith(
        "cpu.onednn_qlinear: would take 400 % of the error budget; 64.0 % is there besides the reserve"
    )


def test_a_saving_that_is_too_small_is_said():
    (reason,) = [r for r in rejected(section(speeds={"W8A8": 1.0002}))["W8A8"] if "qlinear" in r]
    assert "too little for the change" in reason


def test_alternatives_come_in_order_with_why():
    found = section(profile={"dtypes": ("float32", "bfloat16")}).alternatives
    assert [a.name for a in found] == ["NONE", "BF16", "FP16", *QUANTIZED]
    assert [a.name for a in found if a.predicted is None] == ["FP16"]
    assert "not computed or was not measured" in found[2].why
    assert [a.why for a in found if a.name == "W8A8"] == ["chosen"]
    assert found[0].why == "1.11 times the time of the plan"


def test_a_narrow_model_has_float32_among_its_alternatives():
    of = model([linear(dtype="bfloat16")], dtype="bfloat16")
    found = section(of, profile={"dtypes": ("float32", "bfloat16")}).alternatives
    assert [a.name for a in found] == ["NONE", "FP32", *QUANTIZED]


def test_an_infeasible_alternative_names_both_numbers():
    known = sensitivity(MODEL, gains=dict.fromkeys(MODEL.groups(), 100.0))
    (w8a8,) = [a for a in section(known=known).alternatives if a.name == "W8A8"]
    assert not w8a8.feasible
    assert w8a8.why == "error 0.28, above 0.04 (0.05 less 20%)"
    smallest = section().predicted.memory_bytes.value
    none = section(memory_limit_bytes=int(smallest)).alternatives[0]
    assert not none.feasible
    assert none.why.startswith("needs ")


def test_a_scheme_that_no_rule_allows_says_why():
    known = sensitivity(MODEL, method="weights")
    (w8a8,) = [a for a in section(known=known).alternatives if a.name == "W8A8"]
    assert w8a8.predicted is None
    assert "needs calibration" in w8a8.why


def test_a_uniform_plan_that_was_run_is_predicted_end_to_end():
    known = sensitivity(MODEL, uniform=[("W8A8", "rtn", 1e-3)])
    found = section(known=known)
    assert found.predicted.error.method == "end_to_end"
    assert found.predicted.error.value == pytest.approx(1e-3**0.5)


def test_the_summary_weighs_the_plan_against_the_model_as_stored():
    assert section().summary == (
        "Quantize every group to W8A8, and compute in float32. 1.11 times the speed of the model "
        "as stored, 1.13 ms against 1.25 ms a request (measured); 109 KiB of weights against "
        "392 KiB; error 0.028 of at most 0.05."
    )


def test_a_mix_is_counted_in_the_summary():
    found = section(pinned={FIRST: "W8A16", "layers.1.up": "NONE"})
    assert found.summary.startswith(
        "Quantize 7 of 8 groups, 1 to W8A16 and 6 to W8A8, and compute in float32."
    )


def test_groups_say_what_they_take_and_it_adds_up():
    found = section(pinned={FIRST: "W8A16"})
    groups = [group.predicted for group in found.groups.values()]
    assert sum(g.seconds.value for g in groups) == pytest.approx(
        found.predicted.linear_seconds.value
    )
    assert sum(g.error**2 for g in groups) == pytest.approx(found.predicted.error.value**2)
    stored = next(item for item in found.alternatives if item.name == "NONE")
    assert sum(g.stored_seconds.value for g in groups) == pytest.approx(
        stored.predicted.linear_seconds.value
    )
    assert all(g.weight_bytes > 0 and g.seconds.provenance == "measured" for g in groups)


def test_a_plan_stays_small():
    of = model([linear(f"layers.{index}.w") for index in range(200)])
    plan = make_plan(of, measured_profile(of, by_ops()), objective(), sensitivity(of))
    assert len(to_json(plan)) / 200 < 3400


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.50 s"), (0.0431, "43.1 ms"), (1e-3, "1.00 ms"), (1.5e-4, "150 µs"), (0, "0.00 µs")],
)
def test_seconds_in_words(value, text):
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3 * 2**30, "3.00 GiB"), (1536, "1.50 KiB"), (12, "12 bytes")]
)
def test_bytes_in_words(value, text):
    assert words.size(value) == text


def test_a_modelled_figure_says_by_how_much_it_may_be_off():
    modelled = Quantity(value=1.0, provenance="modelled", uncertainty=0.25)
    assert words.provenance(modelled) == "modelled, ± 25 %"


def test_a_scheme_that_a_profile_knows_no_kernel_for_says_so():
    """So may say every profile that was measured before the scheme was there."""
    known = tuple(name for name in SCHEMES if name != "NF4")
    facts = (fact("reference", known, dequantizes=True), INT8_FACT)
    found = section(profile={"facts": facts})
    (alternative,) = (one for one in found.alternatives if one.name == "NF4")
    assert not alternative.feasible
    assert alternative.why == "no kernel of this profile computes NF4"
