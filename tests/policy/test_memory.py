from __future__ import annotations

from qprobe.policy.memory import memory_limit, other_bytes, working_bytes
from tests.documents_factory import block, linear, model, objective, profile


def test_an_encoder_needs_the_widest_moment_of_a_layer():
    asked = objective(batch=2, prompt=16)
    assert working_bytes(model(), asked, "float32") == 2 * 16 * (8 * 64 + 5 * 256) * 4


def test_a_decoder_also_needs_its_cache_to_the_end_and_its_logits():
    plain = model()
    decoder = model(
        [*block(0), linear("head", kind="head", rows="last_token")], kv_elements_per_token=10
    )
    asked = objective(batch=2, prompt=16, generate=4)
    more = working_bytes(decoder, asked, "bfloat16") - working_bytes(plain, asked, "bfloat16")
    assert more == (10 * 2 * (16 + 4) + 2 * 100) * 2


def test_the_rest_of_the_model_is_held_in_the_compute_type():
    assert other_bytes(model(), "float32") == 2 * other_bytes(model(), "bfloat16") == 4000


def test_the_users_limit_comes_before_free_memory():
    assert memory_limit(profile(free_memory_bytes=1000), objective()) == 900
    assert memory_limit(profile(), objective(memory_limit_bytes=7)) == 7
    assert memory_limit(profile(free_memory_bytes=None), objective()) is None
