from __future__ import annotations

import pytest

from qprobe.documents.objective import ERROR_RESERVE
from qprobe.policy import make_plan
from qprobe.policy.timing import GroupClock
from tests.documents_factory import (
    BF16_FACT,
    INT8_FACT,
    REFERENCE_FACT,
    block,
    by_ops,
    fact,
    linear,
    measured_profile,
    model,
    objective,
    profile,
    rest,
    sensitivity,
)
from tests.policy.sections import (
    CALIBRATED,
    FAST_INT8,
    GROUPS,
    MODEL,
    SLOW_INT8,
    only,
    schemes,
    section,
)


def test_the_plan_flips_with_the_profile():
    assert schemes(section(on=FAST_INT8)) == only("W8A8")
    assert schemes(section(on=SLOW_INT8)) == only("NONE")


def test_the_plan_flips_for_the_one_shape_that_is_slow():
    fast = by_ops()

    def seconds(scheme, kernel, dtype, m, n, k):
        return fast(scheme, kernel, dtype, m, n, k) * (9 if scheme == "W8A8" and k == 256 else 1)

    found = schemes(section(on=measured_profile(MODEL, seconds)))
    assert {group for group, name in found.items() if name == "NONE"} == {
        "layers.0.down",
        "layers.1.down",
    }


def test_the_plan_flips_with_the_sensitivity():
    fragile = sensitivity(MODEL, gains={"layers.1.up": 1e3})
    assert schemes(section(known=fragile)) == only("W8A8") | {"layers.1.up": "NONE"}


def test_the_plan_flips_with_the_error_limit():
    assert schemes(section(error=0.05)) == only("W8A8")
    assert schemes(section(error=0.0)) == only("NONE")


def test_the_budget_goes_where_it_saves_most():
    found = schemes(
        section(error=0.0145 / (1 - ERROR_RESERVE))
    )  # room for two of eight groups at a power of 1e-4
    quantized = [group for group, name in found.items() if name == "W8A8"]
    assert len(quantized) == 2
    assert {group.rpartition(".")[2] for group in quantized} <= {"up", "down"}


def test_bf16_wins_where_it_is_fastest():
    def seconds(scheme, kernel, dtype, m, n, k):
        return by_ops({"W8A8": 0.5})(scheme, kernel, dtype, m, n, k) * (
            0.25 if dtype == "bfloat16" else 1
        )

    found = section(on=measured_profile(MODEL, seconds, dtypes=("float32", "bfloat16")))
    assert found.compute_dtype == "bfloat16"
    assert schemes(found) == only("BF16")
    assert found.summary.startswith("Do not quantize: cast the model to bfloat16.")
    assert found.predicted.error.value == pytest.approx(1e-5**0.5)
    assert found.predicted.error.method == "end_to_end"


def test_at_equal_time_the_model_stays_as_stored():
    same = measured_profile(MODEL, lambda *_: 1e-3, dtypes=("float32", "bfloat16"))
    found = section(on=same)
    assert found.compute_dtype == "float32"
    assert schemes(found) == only("NONE")
    assert found.summary.startswith("Keep the model as it is")


def test_rest_decides_between_compute_types():
    same = measured_profile(
        MODEL,
        lambda *_: 1e-3,
        dtypes=("float32", "bfloat16"),
        rest=(rest(prefill=9e-3), rest(dtype="bfloat16", prefill=1e-3)),
    )
    assert section(on=same).compute_dtype == "bfloat16"


def test_a_saving_too_small_to_matter_changes_nothing():
    barely = measured_profile(MODEL, by_ops({"W8A8": 1.0002}))
    assert schemes(section(on=barely)) == only("NONE")


def test_without_a_sensitivity_activations_stay_and_the_errors_are_priors():
    found = section(known=None)
    assert "W8A8" not in schemes(found).values()
    assert found.predicted.error.method == "prior"
    assert any("calibrate" in warning for warning in found.warnings)


def test_without_any_measurement_the_plan_is_modelled_and_says_so():
    found = section(on=profile())
    assert found.predicted.seconds.provenance == "modelled"
    assert any("modelled" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1.3, "NONE"), (1.7, "W8A8")], ids=["within-doubt", "beyond-doubt"]
)
def test_a_modelled_scheme_must_win_by_more_than_its_uncertainty(ratio, expected):
    facts = (REFERENCE_FACT, INT8_FACT)
    clock = GroupClock(profile(kernels=facts), objective())

    def seconds(scheme, kernel, dtype, m, n, k):
        of_shape = (linear(n=n, k=k),)
        modelled = clock.time(of_shape, "W8A8", ("cpu.onednn_qlinear",), "float32")
        return ratio * modelled.request.value if scheme == "NONE" else None

    on = measured_profile(MODEL, seconds, rows=(128,), facts=facts)
    assert schemes(section(on=on)) == only(expected)


def test_the_packing_that_is_fastest_here_is_used():
    def seconds(scheme, kernel, dtype, m, n, k):
        return by_ops({"W8A8": 0.5})(scheme, kernel, dtype, m, n, k) * (
            0.8 if kernel == "cpu.onednn_linear" else 1
        )

    found = section(
        on=measured_profile(MODEL, seconds, facts=(REFERENCE_FACT, INT8_FACT, BF16_FACT))
    )
    assert schemes(found) == only("NONE")
    assert {r.kernel for g in found.groups.values() for r in g.kernels} == {"cpu.onednn_linear"}
    assert "through the plain layer" in found.groups[GROUPS[0]].reasons[0]


def test_a_saturating_kernel_gets_codes_that_it_multiplies_exactly():
    facts = (REFERENCE_FACT, fact("cpu.onednn_qlinear", ("W8A8",), max_code=64))
    found = section(on=measured_profile(MODEL, by_ops(), facts=facts))
    assert {g.algorithm for g in found.groups.values()} == {"rtn_reduce_range"}


def test_the_head_and_what_is_out_of_reach_stay():
    head = linear("head", kind="head", rows="last_token")
    of = model([*block(0), head])
    known = sensitivity(of, gains={"layers.0.down": None})
    found = section(of, measured_profile(of, by_ops()), known)
    assert schemes(found)["head"] == schemes(found)["layers.0.down"] == "NONE"
    assert schemes(found)["layers.0.up"] == "W8A8"
    pinned = section(of, measured_profile(of, by_ops()), known, pinned={"head": "W8A8"})
    assert schemes(pinned)["head"] == "W8A8"


def test_every_profile_has_its_own_section_and_the_first_is_primary():
    slow = SLOW_INT8.model_copy(
        update={"fingerprint": SLOW_INT8.fingerprint.model_copy(update={"slug": "cpu-slow"})}
    )
    plan = make_plan(MODEL, [slow, FAST_INT8], objective(), CALIBRATED)
    assert plan.primary == "cpu-slow"
    assert schemes(plan.targets["cpu-slow"]) == only("NONE")
    assert schemes(plan.targets["cpu-test"]) == only("W8A8")


def test_the_plan_does_not_depend_on_the_order_of_what_it_reads():
    backwards = FAST_INT8.model_copy(
        update={
            "measurements": FAST_INT8.measurements[::-1],
            "kernels": FAST_INT8.kernels[::-1],
        }
    )
    known = CALIBRATED.model_copy(
        update={"layers": CALIBRATED.layers[::-1], "gains": CALIBRATED.gains[::-1]}
    )
    one, other = section(error=0.02), section(on=backwards, known=known, error=0.02)
    assert one.model_copy(update={"profile_hash": ""}) == other.model_copy(
        update={"profile_hash": ""}
    )


def test_the_same_question_gets_the_same_answer():
    one, two = (make_plan(MODEL, FAST_INT8, objective(), CALIBRATED) for _ in range(2))
    assert one.content_hash() == two.content_hash()


@pytest.mark.parametrize(("spread", "expected"), [(0.02, "W8A8"), (0.2, "NONE")])
def test_a_saving_must_exceed_the_noise_that_it_was_measured_in(spread, expected):
    faster = by_ops({"W8A8": 1.06})
    found = section(on=measured_profile(MODEL, faster, spread=spread))
    assert schemes(found) == only(expected)
    assert found.predicted.seconds.provenance == "measured"


@pytest.mark.parametrize(("launch_s", "expected"), [(1e-6, "W8A8"), (4e-5, "NONE")])
def test_a_saving_must_exceed_the_time_to_start_the_calls(launch_s, expected):
    """A call in a model and the same by itself differ by as much, for layers of some microseconds."""
    tiny = measured_profile(MODEL, lambda scheme, *_: 6e-5 if scheme == "W8A8" else 9e-5)
    found = section(on=tiny.model_copy(update={"launch_s": launch_s}))
    assert schemes(found) == only(expected)


def test_dequantizing_first_is_never_taken_to_be_faster_than_the_plain_layer():
    lucky = measured_profile(
        MODEL,
        lambda scheme, kernel, *_: 0.5e-3 if (scheme, kernel) == ("W8A16", "reference") else 1e-3,
    )
    assert schemes(section(on=lucky)) == only("NONE")


def test_a_tied_head_takes_the_time_of_one_that_is_not():
    head = linear("head", 5000, 64, kind="head", rows="last_token", has_bias=False)
    asked = {"prompt": 1, "generate": 100, "batch": 2}
    tied = model(vocab_size=5000)
    apart = model([*tied.linears, head], vocab_size=5000)
    modelled = profile(kernels=(REFERENCE_FACT,), free_memory_bytes=None, launch_s=0.0)
    seconds = []
    for one in (tied, apart):
        found = section(of=one, on=modelled, known=None, **asked)
        none = next(item for item in found.alternatives if item.name == "NONE")
        seconds.append(none.predicted.decode_seconds_per_token.value)
    assert seconds[0] == pytest.approx(seconds[1], rel=0.03)
    silent = section(of=tied, on=modelled, known=None, prompt=1, batch=2)
    assert silent.predicted.seconds.value < 0.5 * seconds[0]
