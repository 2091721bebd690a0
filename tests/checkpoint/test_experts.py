"""Experts on disk: a tensor each or one for all, all there and all alike, or refused."""

from __future__ import annotations

import json

import pytest

from qprobe.checkpoint import read_model
from qprobe.checkpoint.headers import WEIGHTS
from qprobe.checkpoint.names import find_places
from qprobe.errors import InputError
from tests.checkpoint.families import CASES
from tests.checkpoints import DEEPSEEK_671B, deepseek_shapes, write_config, write_safetensors

SMALL = DEEPSEEK_671B | {
    "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 32, "num_hidden_layers": 3,
    "first_k_dense_replace": 1, "num_attention_heads": 4, "num_key_value_heads": 4,
    "n_routed_experts": 12, "num_experts_per_tok": 2, "q_lora_rank": 24, "kv_lora_rank": 16,
    "qk_nope_head_dim": 12, "qk_rope_head_dim": 8, "v_head_dim": 10, "vocab_size": 96,
}  # fmt: skip
UP = "model.layers.1.mlp.experts.{}.up_proj.weight"


def checkpoint(directory, change=None):
    shapes = deepseek_shapes(SMALL)
    if change is not None:
        change(shapes)
    write_safetensors(directory / WEIGHTS, shapes)
    return write_config(directory, SMALL)


def test_the_experts_of_a_projection_are_one_entry(tmp_path):
    model = read_model(checkpoint(tmp_path))
    by_name = {linear.tensor: linear for linear in model.linears}
    up = by_name[UP.format("{0..11}")]
    assert (up.count, up.top_k, up.n, up.k, up.rows, up.kind) == (12, 2, 32, 64, "experts", "up")
    assert up.fusion_group == "model.layers.1.mlp.experts.gate_up"
    assert len(model.groups()[up.fusion_group]) == 2
    assert by_name["model.layers.1.mlp.shared_experts.up_proj.weight"].rows == "tokens"
    assert not any(".mlp.gate." in name for name in by_name)


def test_the_layer_that_predicts_a_further_token_is_left_out(tmp_path):
    model = read_model(checkpoint(tmp_path / "with"))
    without = checkpoint(tmp_path / "without", lambda shapes: [shapes.pop(n) for n in list(shapes) if n.startswith("model.layers.3.")])  # fmt: skip
    assert model.linears == read_model(without).linears
    assert model.other_elements == read_model(without).other_elements


def test_the_latent_cache_is_small(tmp_path):
    assert read_model(checkpoint(tmp_path)).kv_elements_per_token == 3 * (16 + 8)


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe"])
def test_experts_in_one_tensor_are_found_too(tmp_path, name):
    module = CASES[name].make()
    module.save_pretrained(tmp_path / "fused", save_original_format=False)
    fused, apart = read_model(tmp_path / "fused"), read_model(module)
    stacked = [linear for linear in fused.linears if linear.count > 1]
    assert {(one.kind, one.n, one.k, one.count) for one in stacked} == {
        ("gate_up", 2 * one.n, one.k, one.count) for one in apart.linears if one.kind == "up" and one.count > 1
    } | {("down", one.n, one.k, one.count) for one in apart.linears if one.kind == "down" and one.count > 1}  # fmt: skip
    places = find_places(module, [one.tensor for one in stacked])
    assert all(place.holds_experts and place.parts == 1 for place in places.values())
    assert fused.other_elements == apart.other_elements
    assert json.loads((tmp_path / "fused" / "config.json").read_text())["model_type"] == name


BROKEN = {
    "one is missing": (lambda s: s.pop(UP.format(5)), r"is of 11 experts, config.json announces 12"),
    "one too many": (lambda s: s.update({UP.format(12): s[UP.format(0)]}), r"is of 13 experts"),
    "a number is skipped": (lambda s: s.update({UP.format(12): s.pop(UP.format(5))}), r"is not there for expert 5"),
    "a number has a zero before it": (lambda s: s.update({UP.format("05"): s.pop(UP.format(5))}), r"is not there for expert 5"),
    "one is smaller": (lambda s: s.update({UP.format(7): ("BF16", [31, 64])}), r"experts.7.up_proj.weight' is bfloat16 \[31, 64\] without a bias, that of expert 0 is"),
    "one is of another type": (lambda s: s.update({UP.format(7): ("F32", [32, 64])}), r"is float32 \[32, 64\] without a bias, that of expert 0 is bfloat16"),
    "one is quantized": (lambda s: s.update({UP.format(0): ("F8_E4M3", [32, 64])}), r"stored as float8_e4m3fn: quantized already"),
    "one has a bias": (lambda s: s.update({UP.format(3).replace("weight", "bias"): ("BF16", [32])}), r"experts.3.up_proj.weight' is bfloat16 \[32, 64\] with a bias, that of expert 0"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN)
def test_experts_that_are_not_alike_are_refused(tmp_path, change, words):
    with pytest.raises(InputError, match=words) as caught:
        read_model(checkpoint(tmp_path, change))
    assert caught.value.hint
