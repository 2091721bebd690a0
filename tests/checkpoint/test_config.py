"""Configs of known models are understood; everything else is refused by field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.checkpoint.architectures import FAMILIES
from qprobe.checkpoint.config import Config, parse_config, read_config
from qprobe.checkpoint.sizes import Sizes
from qprobe.errors import InputError
from tests.checkpoints import BERT_CONFIG, LLAMA_CONFIG, import_transformers, write_config

KNOWN = ", ".join(FAMILIES)


def refusal(content: object) -> str:
    with pytest.raises(InputError) as caught:
        parse_config(content, "config.json")
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


def test_reads_a_bert(tmp_path):
    config = read_config(write_config(tmp_path, BERT_CONFIG))
    sizes = Sizes(
        name="", hidden_size=64, intermediate_size=128, attention_heads=4, kv_heads=4, head_dim=16,
        layers=2, vocab_size=96, positions=64, frames=None, query_inputs=64,
        kv_elements_per_token=0, windows=(), crosses=False,
    )  # fmt: skip
    assert config == Config(
        architecture="BertModel", model_type="bert", stacks=(sizes,), experts=None, top_k=None,
        tie_word_embeddings=True, quantization_config=None, dtype=None, name_or_path="",
    )  # fmt: skip


def test_reads_a_llama_with_grouped_heads():
    config = parse_config(LLAMA_CONFIG | {"torch_dtype": "bfloat16"}, "")
    assert (config.stacks[0].kv_heads, config.stacks[0].head_dim) == (2, 16)
    assert (config.dtype, config.tie_word_embeddings) == ("bfloat16", False)


def test_reads_the_names_of_distilbert():
    config = parse_config(
        {"model_type": "distilbert", "dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 4,
         "vocab_size": 96, "max_position_embeddings": 64}, "",
    )  # fmt: skip
    assert (config.hidden_size, config.intermediate_size, config.layers) == (64, 128, 2)
    assert config.architecture == "DistilBertModel"


def test_roberta_reserves_two_positions():
    config = parse_config(BERT_CONFIG | {"model_type": "roberta"}, "")
    assert config.max_tokens == 62


def test_null_means_left_out():
    config = parse_config(
        LLAMA_CONFIG | {"head_dim": None, "dtype": None, "architectures": None}, ""
    )
    assert (config.stacks[0].head_dim, config.dtype, config.architecture) == (
        16,
        None,
        "LlamaModel",
    )


def test_a_window_of_null_is_none_and_a_window_left_out_is_the_familys():
    mistral = LLAMA_CONFIG | {"model_type": "mistral"}
    assert parse_config(mistral | {"sliding_window": None}, "").stacks[0].windows == ()
    assert parse_config(mistral, "").stacks[0].windows[0].tokens == 4096
    assert parse_config(LLAMA_CONFIG | {"sliding_window": 7}, "").stacks[0].windows == ()


def test_the_feed_forward_of_gpt2_is_four_times_as_wide_unless_it_says():
    sizes = {"model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_layer": 2, "vocab_size": 96}
    assert parse_config(sizes | {"n_inner": None}, "").intermediate_size == 256
    assert parse_config(sizes | {"n_inner": 100}, "").intermediate_size == 100


@pytest.mark.parametrize(
    ("image", "patch", "frames"), [(224, 16, 197), ([30, 50], [10, 20], 7), (33, 16, 5)]
)
def test_an_image_is_as_many_frames_as_patches_and_one(image, patch, frames):
    vit = BERT_CONFIG | {"model_type": "vit", "image_size": image, "patch_size": patch}
    assert parse_config(vit, "").stacks[0].frames == frames


# What the table has to know, because a config may leave it out.
OPTIONAL = (
    "num_key_value_heads", "head_dim", "d_kv", "tie_word_embeddings", "layer_types",
    "sliding_window", "num_experts_per_tok", "num_experts", "num_local_experts", "n_routed_experts",
    "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "max_source_positions", "image_size",
)  # fmt: skip


@pytest.mark.parametrize("model_type", [name for name in FAMILIES if name != "clip"])
def test_agrees_with_transformers_where_fields_are_left_out(model_type):
    transformers = import_transformers()
    written = json.loads(
        transformers.AutoConfig.for_model(model_type).to_json_string(use_diff=False)
    )
    sizes = {key: value for key, value in written.items() if key not in OPTIONAL}
    family = FAMILIES[model_type]
    # A width at which no default follows from another by chance.
    sizes[family.keys.get("hidden_size", "hidden_size")] = 1536
    if "use_sliding_window" in sizes:
        sizes["use_sliding_window"] = True
    ours = parse_config(sizes, "")
    theirs = transformers.AutoConfig.for_model(
        **{k: v for k, v in sizes.items() if k not in ("transformers_version", "architectures")}
    )
    stack, heads = ours.stacks[0], theirs.num_attention_heads
    if "tie_word_embeddings" in written and any(row.kind == "head" for row in family.rows):
        assert ours.tie_word_embeddings == theirs.tie_word_embeddings
    assert stack.kv_heads == (getattr(theirs, "num_key_value_heads", None) or heads)
    assert stack.layers == theirs.num_hidden_layers
    if not family.stacks[0].latent:
        assert stack.head_dim == (getattr(theirs, "head_dim", None) or theirs.hidden_size // heads)
    types = getattr(theirs, "layer_types", None) or ["sliding_attention"] * stack.layers
    sliding = types.count("sliding_attention") if getattr(theirs, "sliding_window", None) else 0
    of_a_layer = stack.kv_elements_per_token // stack.layers
    assert sum(window.elements_per_token for window in stack.windows) == sliding * of_a_layer
    assert all(window.tokens == theirs.sliding_window for window in stack.windows)
    if ours.experts is not None:
        theirs_experts = getattr(theirs, "num_local_experts", None) or theirs.num_experts
        assert ours.experts == theirs_experts
        assert ours.top_k == theirs.num_experts_per_tok


def test_each_tower_of_clip_has_its_own_defaults():
    ours = parse_config({"model_type": "clip", "text_config": {"num_hidden_layers": 3}}, "")
    theirs = import_transformers().CLIPConfig(text_config={"num_hidden_layers": 3})
    for stack, config in zip(ours.stacks, (theirs.text_config, theirs.vision_config), strict=True):
        assert (
            stack.layers,
            stack.hidden_size,
            stack.intermediate_size,
            stack.attention_heads,
        ) == (
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
        )
    assert (ours.vocab_size, ours.max_tokens) == (theirs.text_config.vocab_size, 77)
    assert ours.stacks[1].frames == (224 // theirs.vision_config.patch_size) ** 2 + 1


FILES = {
    "not JSON": (b"{", "not valid JSON"),
    "empty": (b"", "not valid JSON"),
    "binary": (b"\x80\x04\x95", "not valid JSON"),
    "a list": (b"[1, 2]", "holds a JSON list, not an object"),
    "nested 100,000 deep": (b"[" * 100_000, "recursion limit"),
    "a name twice": (
        b'{"model_type": "bert", "model_type": "llama"}',
        "'model_type' is there twice",
    ),
    "infinity": (b'{"model_type": Infinity}', "not valid JSON"),
}


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_bad_file(tmp_path, content, words):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_config(tmp_path)
    assert "config.json" in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"config\.json does not exist"):
        read_config(tmp_path)


def test_huge_file(tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match="larger than 100 MiB"):
        read_config(tmp_path)


TYPES = {
    "unknown": "mamba",
    "missing": None,
    "a number": 7,
    "a list": ["bert"],
}


@pytest.mark.parametrize("model_type", TYPES.values(), ids=TYPES)
def test_unknown_model_type_lists_the_known_ones(model_type):
    words = refusal({"model_type": model_type})
    assert f"model_type {model_type!r}" in words
    assert KNOWN in words


def test_nested_text_config():
    words = refusal({"model_type": "llava", "text_config": LLAMA_CONFIG})
    assert "nests its language model in text_config" in words


FIELDS = {
    "missing": ({"hidden_size": None}, "hidden_size is missing"),
    "zero": ({"hidden_size": 0}, "hidden_size is 0"),
    "negative": ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
    "a string": ({"vocab_size": "96"}, "vocab_size is '96'"),
    "a float": ({"intermediate_size": 160.0}, "intermediate_size is 160.0"),
    "a boolean": ({"num_hidden_layers": True}, "num_hidden_layers is True"),
    "so many layers": ({"num_hidden_layers": 10**9}, "expected an integer from 1 to 100000"),
    "absurd": ({"max_position_embeddings": 2**40}, "max_position_embeddings is 1099511627776"),
    "heads do not divide": ({"num_attention_heads": 6}, "hidden_size is 64, expected a multiple of num_attention_heads = 6"),
    "kv heads do not divide": ({"num_key_value_heads": 3}, "num_attention_heads is 4, expected a multiple of num_key_value_heads = 3"),
    "tie a string": ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no'"),
    "unknown dtype": ({"dtype": "float12"}, "dtype is 'float12'"),
    "dtype a list": ({"torch_dtype": ["float32"]}, "torch_dtype is ['float32']"),
    "quantization a list": ({"quantization_config": []}, "quantization_config is []"),
    "architectures a string": ({"architectures": "BertModel"}, "architectures is 'BertModel'"),
    "architectures empty": ({"architectures": []}, "architectures is []"),
    "architecture no name": ({"architectures": ["os.system"]}, "architectures is ['os.system']"),
    "origin a number": ({"_name_or_path": 1}, "_name_or_path is 1"),
    "a window of text": ({"model_type": "mistral", "sliding_window": "all"}, "sliding_window is 'all'"),
    "types of other layers": ({"model_type": "gemma2", "layer_types": ["full_attention"]}, "layer_types is ['full_attention'], expected a list of 2"),
    "no experts": ({"model_type": "mixtral", "num_local_experts": 0}, "num_local_experts is 0"),
    "more than all experts": ({"model_type": "mixtral", "num_experts_per_tok": 9}, "num_experts_per_tok is 9, expected at most num_local_experts = 8"),
    "an image of text": ({"model_type": "vit", "image_size": "big"}, "image_size is 'big'"),
    "an image of three sides": ({"model_type": "vit", "image_size": [1, 2, 3]}, "image_size is [1, 2, 3]"),
    "a section that is none": ({"model_type": "clip", "vision_config": [1]}, "vision_config is [1], expected an object"),
    "a bad field of a section": ({"model_type": "clip", "text_config": {"hidden_size": -1}}, "text_config: hidden_size is -1"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), FIELDS.values(), ids=FIELDS)
def test_bad_field_is_named(change, words):
    assert words in refusal(LLAMA_CONFIG | change)


EVERYTHING = {
    **LLAMA_CONFIG, **BERT_CONFIG, "d_model": 64, "num_heads": 4, "num_layers": 2, "d_ff": 128,
    "n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 64, "ffn_dim": 128, "dim": 64,
    "hidden_dim": 128, "n_heads": 4, "n_layers": 2, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128, "max_target_positions": 64,
}  # fmt: skip


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_reads_these_sizes(model_type):
    # Otherwise the next test would refuse them all and show nothing.
    assert parse_config({**EVERYTHING, "model_type": model_type}, "").layers >= 2


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)
keys = st.sampled_from(
    [*LLAMA_CONFIG, *OPTIONAL, "dtype", "text_config", "vision_config", "quantization_config",
     "use_sliding_window", "max_window_layers", "sliding_window_pattern", "patch_size", "n_inner"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(keys, values, max_size=3), st.sampled_from(list(FAMILIES)))
def test_any_fields_are_read_or_refused(changes, model_type):
    content = {**EVERYTHING, "model_type": model_type, **changes}
    try:
        config = parse_config(content, "config.json")
    except InputError:
        return
    assert isinstance(config, Config)
    assert all(stack.attention_heads % stack.kv_heads == 0 for stack in config.stacks)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60) | values.map(lambda v: json.dumps(v).encode()))
def test_any_file_is_refused_with_one_line(tmp_path_factory, content):
    directory: Path = tmp_path_factory.mktemp("config")
    (directory / "config.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_config(directory)
    assert "\n" not in str(caught.value)
