from __future__ import annotations

import math

import pytest

from qprobe.policy.cells import INTERPOLATION_UNCERTAINTY, Unavailable
from qprobe.policy.timing import GroupClock
from tests.documents_factory import linear, measurement, objective, profile, skipped

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


def test_a_time_of_zero_is_no_division_by_zero():
    found = clock(took("NONE", "reference", 64, 0.0), took("NONE", "reference", 256, 0.0)).time(
        ONE, "NONE", ("reference",), "float32"
    )
    assert found.request.value < 1e-9
