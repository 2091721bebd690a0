from __future__ import annotations

import pytest

from qprobe.documents.scheme import SCHEMES
from qprobe.policy.memory import (
    PEAK_UNCERTAINTY,
    group_bytes,
    memory_limit,
    other_bytes,
    working_bytes,
)
from tests.documents_factory import block, linear, model, objective, profile
from tests.policy.sections import section


def test_an_encoder_needs_the_widest_moment_of_a_layer():
    asked = objective(batch=2, prompt=16)
    assert working_bytes(model(), asked, "float32") == 2 * 16 * (8 * 64 + 5 * 256) * 4


def test_a_decoder_also_needs_its_cache_to_the_end():
    asked = objective(batch=2, prompt=16, generate=4)
    decoder = model(kv_elements_per_token=10)
    more = working_bytes(decoder, asked, "bfloat16") - working_bytes(model(), asked, "bfloat16")
    assert more == 10 * 2 * (16 + 4) * 2


@pytest.mark.parametrize(("rows", "counted"), [("last_token", 2), ("tokens", 2 * 16)])
def test_the_logits_of_a_large_vocabulary_are_the_widest_moment(rows, counted):
    head = linear("head", n=100_000, kind="head", rows=rows)
    asked = objective(batch=2, prompt=16)
    needed = working_bytes(model([*block(0), head]), asked, "float32")
    assert needed == (2 * 16 * 64 + counted * 100_000) * 4


def test_the_rest_of_the_model_is_held_in_the_compute_type():
    assert other_bytes(model(), "float32") == 2 * other_bytes(model(), "bfloat16") == 4000


def test_the_users_limit_comes_before_free_memory():
    assert memory_limit(profile(free_memory_bytes=1000), objective()) == 900
    assert memory_limit(profile(), objective(memory_limit_bytes=7)) == 7
    assert memory_limit(profile(free_memory_bytes=None), objective()) is None


def test_every_expert_takes_its_bytes():
    one = linear(n=8, k=16)
    several = linear(n=8, k=16, rows="experts", count=12, top_k=2)
    for scheme in SCHEMES.values():
        if not scheme.objection(8, 16):
            assert group_bytes([several], scheme, "float32") == 12 * group_bytes(
                [one], scheme, "float32"
            )


def test_frames_take_the_place_of_a_short_prompt():
    asked = objective(batch=2, prompt=16)
    sees_images = working_bytes(model(encoder_frames=50), asked, "float32")
    assert sees_images == 2 * 50 * (8 * 64 + 5 * 256) * 4


def test_who_generates_without_a_linear_for_it_has_the_logits_of_a_tied_head():
    decoder = model(vocab_size=100_000)
    reads, writes = objective(batch=2, prompt=16), objective(batch=2, prompt=16, generate=1)
    assert working_bytes(decoder, reads, "float32") == 2 * 16 * (8 * 64 + 5 * 256) * 4
    assert working_bytes(decoder, writes, "float32") == (2 * 16 * 64 + 2 * 100_000) * 4


def test_only_what_is_alive_at_once_is_in_doubt():
    found = section().predicted
    doubt = found.memory_bytes.value * found.memory_bytes.uncertainty
    beside = found.memory_bytes.value - found.weight_bytes.value
    assert doubt == pytest.approx(PEAK_UNCERTAINTY * beside)
