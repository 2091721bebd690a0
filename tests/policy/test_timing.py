from __future__ import annotations

import math

import pytest

from qprobe.documents.scheme import SCHEMES
from qprobe.documents.turns import most_rows
from qprobe.policy.cells import INTERPOLATION_UNCERTAINTY, Unavailable
from qprobe.policy.timing import GroupClock
from tests.documents_factory import fact, linear, measurement, objective, profile, skipped

ONE = (linear("w"),)
QKV = tuple(linear(name, group="qkv") for name in "qkv")
KERNELS = ("cpu.onednn_qlinear", "reference")


def clock(*measurements, skips=(), **asked):
    return GroupClock(profile(measurements, skipped=tuple(skips)), objective(**asked))


def took(scheme, kernel, m, seconds, **more):
    return measurement(scheme, kernel, m, 64, 64, seconds, **more)


def test_a_measured_cell_is_taken_as_it_is():
    found = clock(took("NONE", "reference", 128, 3e-3, spread=0.1)).time(
        ONE, "NONE", ("reference",), "float32"
    )
    assert found.request.value == 3e-3
    assert found.request.provenance == "measured"
    assert found.request.uncertainty == pytest.approx(0.1)


def test_between_two_measurements_time_is_interpolated_in_logarithms():
    found = clock(took("NONE", "reference", 64, 1e-3), took("NONE", "reference", 256, 4e-3)).time(
        ONE, "NONE", ("reference",), "float32"
    )
    assert found.request.value == pytest.approx(2e-3)
    assert found.request.provenance == "modelled"
    assert found.request.uncertainty == INTERPOLATION_UNCERTAINTY


@pytest.mark.parametrize("m", [8, 4096])
def test_beyond_the_measurements_the_roofline_is_anchored_at_the_nearest(m):
    plain = clock(prompt=m).time(ONE, "NONE", ("reference",), "float32").request.value
    at_128 = clock(prompt=128).time(ONE, "NONE", ("reference",), "float32").request.value
    found = clock(took("NONE", "reference", 128, 3 * at_128), prompt=m).time(
        ONE, "NONE", ("reference",), "float32"
    )
    assert found.request.value == pytest.approx(3 * plain)
    assert found.request.provenance == "modelled"


def test_later_members_read_an_input_that_is_quantized_already():
    found = clock(took("W8A8", "cpu.onednn_qlinear", 128, 5e-3, shared=2e-3)).time(
        QKV, "W8A8", ("cpu.onednn_qlinear",), "float32"
    )
    assert found.request.value == pytest.approx(5e-3 + 2 * 2e-3)


def test_without_a_shared_time_every_member_costs_the_same():
    found = clock(took("NONE", "reference", 128, 5e-3)).time(QKV, "NONE", ("reference",), "float32")
    assert found.request.value == pytest.approx(15e-3)


def test_a_request_is_its_prefill_and_one_decode_for_each_token():
    found = clock(
        took("NONE", "reference", 128, 7e-3),
        took("NONE", "reference", 2, 1e-3),
        batch=2,
        prompt=64,
        generate=10,
    ).time(ONE, "NONE", ("reference",), "float32")
    assert found.rows == (128, 2)
    assert found.prefill.value == pytest.approx(7e-3)
    assert found.decode.value == pytest.approx(1e-3)
    assert found.request.value == pytest.approx(17e-3)


def test_a_head_sees_only_the_last_token():
    head = (linear("head", kind="head", rows="last_token"),)
    assert clock(batch=3, prompt=99).time(head, "NONE", ("reference",), "float32").rows == (3,)


def test_a_pass_through_experts_takes_as_long_as_those_that_are_hit():
    experts = (linear("experts", rows="experts", count=16, top_k=2),)
    found = clock(
        took("NONE", "reference", 16, 7e-3),
        took("NONE", "reference", 1, 1e-3),
        batch=1,
        prompt=128,
        generate=10,
    ).time(experts, "NONE", ("reference",), "float32")
    assert found.rows == (16, 1)
    assert found.prefill.value == pytest.approx(16 * 7e-3)
    assert found.decode.value == pytest.approx(2 * 1e-3)
    assert found.request.value == pytest.approx(0.132)


def test_an_encoder_costs_nothing_while_a_decoder_generates():
    sound = (linear("sound", rows="frames", frames=50),)
    found = clock(took("NONE", "reference", 100, 7e-3), batch=2, generate=10)
    timed = found.time(sound, "NONE", ("reference",), "float32")
    assert (timed.rows, timed.decode.value) == ((100,), 0.0)
    assert timed.request.value == pytest.approx(7e-3)


def test_what_is_expanded_from_the_cache_sees_the_middle_of_decoding():
    expanded = (linear("kv", rows="context"),)
    timed = clock(batch=2, prompt=10, generate=8).time(expanded, "NONE", ("reference",), "float32")
    assert timed.rows == (20, 2 * (10 + 4 + 1))


def test_kernels_change_at_the_geometric_mean_of_the_rows_where_each_won():
    found = clock(
        took("W8A8", "reference", 1, 1e-3),
        took("W8A8", "cpu.onednn_qlinear", 1, 2e-3),
        took("W8A8", "reference", 128, 9e-3),
        took("W8A8", "cpu.onednn_qlinear", 128, 3e-3),
    ).time(ONE, "W8A8", KERNELS, "float32")
    assert [(r.kernel, r.m_min, r.m_max) for r in found.kernels] == [
        ("reference", 1, math.isqrt(128)),
        ("cpu.onednn_qlinear", math.isqrt(128) + 1, None),
    ]
    assert found.used == ("cpu.onednn_qlinear",)
    assert found.request.value == 3e-3


def test_an_exact_tie_goes_to_the_reference():
    found = clock(
        took("W8A8", "reference", 128, 1e-3), took("W8A8", "cpu.onednn_qlinear", 128, 1e-3)
    ).time(ONE, "W8A8", KERNELS, "float32")
    assert found.used == ("reference",)


def test_a_modelled_kernel_must_beat_a_measured_one_by_its_uncertainty():
    model_says = clock().time(ONE, "W8A8", ("cpu.onednn_qlinear",), "float32").request.value
    found = clock(took("W8A8", "reference", 128, 1.4 * model_says)).time(
        ONE, "W8A8", KERNELS, "float32"
    )
    assert found.used == ("reference",)


def test_a_skipped_cell_is_unavailable_with_its_reason():
    found = clock(skips=[skipped("W8A8", "reference", 128, 64, 64, "wrong numbers")]).time(
        ONE, "W8A8", ("reference",), "float32"
    )
    assert found == Unavailable(("reference: wrong numbers",))


def test_a_shape_that_was_skipped_at_every_m_is_unavailable_at_others():
    found = clock(skips=[skipped("W8A8", "reference", 32, 64, 64, "K is odd")]).time(
        ONE, "W8A8", ("reference",), "float32"
    )
    assert found == Unavailable(("reference: K is odd",))


def test_another_kernel_of_the_packing_steps_in_for_a_skipped_one():
    found = clock(
        took("W8A8", "reference", 128, 1e-3),
        skips=[skipped("W8A8", "cpu.onednn_qlinear", 128, 64, 64, "saturates")],
    ).time(ONE, "W8A8", KERNELS, "float32")
    assert found.used == ("reference",)


FACTS = (
    fact("new", ("W4A16", "W8A8"), "p", min_rows=33, multiplies_codes=True),
    fact("few", ("W4A16",), "p", max_rows=8),
    fact("older", ("W4A16", "W8A8"), "p", min_rows=2, max_rows=128, multiplies_codes=True),
    fact("aside", ("W4A16", "W8A8"), "p", min_rows=129, dequantizes=True),
    fact("oldest", ("W4A16", "W8A8"), "p", max_rows=8),
)
"""The best first; by name they are in another order."""


def turns(*measurements, scheme="W4A16", facts=FACTS, **asked):
    names = tuple(sorted(item.kernel for item in facts if scheme in item.schemes))
    found = GroupClock(profile(measurements, kernels=facts), objective(**asked)).time(
        ONE, scheme, names, "float32"
    )
    return [(item.kernel, item.m_max) for item in found.kernels]


@pytest.mark.parametrize("prompt", [1, 9, 128, 4096])
@pytest.mark.parametrize("generate", [0, 16])
def test_where_nothing_was_measured_kernels_take_turns_as_without_a_plan(prompt, generate):
    asked = {"prompt": prompt, "generate": generate}
    assert turns(**asked) == [("oldest", 1), ("few", 8), ("older", 32), ("new", None)]
    without_new = turns(facts=FACTS[1:], **asked)
    assert without_new == [("oldest", 1), ("few", 8), ("older", 128), ("aside", None)]


def test_what_no_device_has_measured_is_planned_where_it_was_measured():
    facts = (FACTS[0].model_copy(update={"unproven": True}), *FACTS[1:])
    assert turns(facts=facts, prompt=512) == [
        ("oldest", 1),
        ("few", 8),
        ("older", 128),
        ("aside", None),
    ]
    found = turns(took("W4A16", "new", 512, 1e-12), facts=facts, prompt=512)
    assert found == [("new", None)]


def test_codes_are_multiplied_at_their_own_rate():
    for prompt in (512, 4096):
        assert turns(scheme="W8A8", prompt=prompt)[-1] == ("new", None)
    floats = tuple(item.model_copy(update={"multiplies_codes": False}) for item in FACTS)
    int8, plain = (
        GroupClock(profile(kernels=facts), objective(prompt=4096))
        .time(ONE, "W8A8", ("new",), "float32")
        .request.value
        for facts in (FACTS, floats)
    )
    assert int8 < plain


def measured(**rows):
    """Kernel → {M: seconds}."""
    found = ((kernel, m, s) for kernel, points in rows.items() for m, s in points.items())
    return [took("W4A16", kernel, m, seconds) for kernel, m, seconds in found]


@pytest.mark.parametrize("newest", [{1: 3e-9}, {1: 3e-9, 512: 1e-6}])
def test_a_kernel_that_was_measured_for_few_rows_is_not_planned_for_many(newest):
    """What a request does not need was not measured: batches of a server are somewhere between."""
    both = measured(oldest={1: 1e-9}, new=newest)
    assert turns(*both, prompt=max(newest)) == [("oldest", 8), ("new", None)]
    four = both + measured(older={1: 2e-9}, aside={1: 9e-9, 512: 2e-6})
    assert turns(*four, prompt=512, generate=9) == [("oldest", 1), ("older", 32), ("new", None)]
    three = [one for one in four if one.cell.kernel != "new"]
    assert turns(*three, prompt=512, generate=9) == [
        ("oldest", 1),
        ("older", 128),
        ("aside", None),
    ]


def test_between_rows_where_one_kernel_was_fastest_no_other_takes_a_turn():
    """Though what is extrapolated of the others is less than what is interpolated of it."""
    facts = tuple(item for item in FACTS if item.kernel not in ("aside", "few"))
    of_one = measured(new={1: 1e-9, 512: 1e-3}, oldest={1: 2e-9}, older={1: 2e-9})
    assert turns(*of_one, facts=facts, prompt=512, generate=9) == [("new", None)]


def test_a_kernel_that_was_measured_on_both_sides_is_for_what_is_between():
    facts = (FACTS[0], FACTS[2], FACTS[4])
    found = measured(oldest={1: 1e-9}, older={1: 2e-9, 128: 2e-8}, new={1: 6e-9, 128: 2.5e-8})
    assert turns(*found, facts=facts, prompt=128, generate=9) == [
        ("oldest", 1), ("older", 128), ("new", None)
    ]  # fmt: skip


def test_a_kernel_that_won_at_its_last_rows_ends_there():
    found = measured(older={128: 1e-8}, new={128: 2e-8}, aside={128: 3e-8})
    assert turns(*found, prompt=128) == [("older", 128), ("new", None)]


def test_a_kernel_that_is_wrong_at_some_rows_is_not_taken_for_more():
    facts = FACTS[2:]
    found = GroupClock(
        profile(
            measured(oldest={1: 1e-9}, older={1: 2e-9, 128: 2e-8}, aside={1: 1e-8}),
            kernels=facts,
            skipped=(skipped("W4A16", "aside", 128, 64, 64, "wrong numbers"),),
        ),
        objective(prompt=128, generate=9),
    ).time(ONE, "W4A16", ("aside", "older", "oldest"), "float32")
    ranges = [(item.kernel, item.m_max) for item in found.kernels]
    assert ranges == [("oldest", 1), ("older", None)]


def test_a_profile_of_an_earlier_version_is_read_as_it_was():
    old = profile(kernels=(fact("k", ("W8A8",)), fact("reference", tuple(SCHEMES))))
    facts = old.kernel_facts()
    assert (facts["k"].multiplies_codes, facts["k"].dequantizes) == (True, False)
    assert (facts["reference"].multiplies_codes, facts["reference"].dequantizes) == (False, True)


def test_what_is_for_some_rows_leaves_the_others_to_those_behind_it():
    middle = fact("middle", ("W4A16",), "p", min_rows=33, max_rows=128)
    assert most_rows([middle, fact("any", ("W4A16",), "p")]) == [128, None]
    assert most_rows([fact("other", (), "q", min_rows=33), fact("any", (), "p")]) == [None, None]


def test_a_kernel_that_failed_takes_no_turn():
    facts = FACTS[2:]
    words = [skipped("W4A16", "older", 1, 64, 64, "wrong numbers")]
    found = GroupClock(
        profile(
            measured(oldest={1: 1e-9}, aside={1: 1e-8, 512: 1e-7}),
            kernels=facts,
            skipped=tuple(words),
        ),
        objective(prompt=512, generate=9),
    ).time(ONE, "W4A16", ("aside", "older", "oldest"), "float32")
    assert [(item.kernel, item.m_max) for item in found.kernels] == [("oldest", 8), ("aside", None)]


def test_what_was_measured_is_taken_whatever_a_kernel_is_meant_for():
    assert turns(took("W4A16", "aside", 16, 1e-12), prompt=16)[-1] == ("aside", None)


def test_a_kernel_for_few_rows_alone_is_no_way_for_many():
    found = GroupClock(profile(kernels=FACTS), objective(prompt=9)).time(
        ONE, "W4A16", ("few", "oldest"), "float32"
    )
    words = "it is meant for M up to 8"
    assert found == Unavailable((f"few: {words}", f"oldest: {words}"))


def test_a_time_of_zero_is_no_division_by_zero():
    found = clock(took("NONE", "reference", 64, 0.0), took("NONE", "reference", 256, 0.0)).time(
        ONE, "NONE", ("reference",), "float32"
    )
    assert found.request.value < 1e-9
