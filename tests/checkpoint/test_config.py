"""Configs of known models are understood; everything else is refused by field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.checkpoint.architectures import FAMILIES
from qprobe.checkpoint.config import Config, parse_config, read_config
from qprobe.errors import InputError
from tests.checkpoints import BERT_CONFIG, LLAMA_CONFIG, write_config

KNOWN = ", ".join(FAMILIES)


def refusal(content: object) -> str:
    with pytest.raises(InputError) as caught:
        parse_config(content, "config.json")
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


def test_reads_a_bert(tmp_path):
    config = read_config(write_config(tmp_path, BERT_CONFIG))
    assert config == Config(
        architecture="BertModel", model_type="bert", hidden_size=64, intermediate_size=128,
        attention_heads=4, kv_heads=4, head_dim=16, layers=2, vocab_size=96, max_tokens=64,
        tie_word_embeddings=True, quantization_config=None, dtype=None, name_or_path="",
    )  # fmt: skip


def test_reads_a_llama_with_grouped_heads():
    config = parse_config(LLAMA_CONFIG | {"torch_dtype": "bfloat16"}, "")
    assert (config.kv_heads, config.head_dim, config.dtype) == (2, 16, "bfloat16")
    assert config.tie_word_embeddings is False


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
    assert (config.head_dim, config.dtype, config.architecture) == (16, None, "LlamaModel")


@pytest.mark.parametrize("model_type", FAMILIES)
def test_agrees_with_transformers_where_fields_are_left_out(model_type):
    written = json.loads(
        transformers.AutoConfig.for_model(model_type).to_json_string(use_diff=False)
    )
    optional = ("num_key_value_heads", "head_dim", "tie_word_embeddings")
    sizes = {key: value for key, value in written.items() if key not in optional}
    # A width at which no default follows from another by chance.
    sizes["dim" if model_type == "distilbert" else "hidden_size"] = 1536
    ours = parse_config(sizes, "")
    theirs = transformers.AutoConfig.for_model(
        **{k: v for k, v in sizes.items() if k not in ("transformers_version", "architectures")}
    )
    heads = theirs.num_attention_heads
    assert ours.tie_word_embeddings == theirs.tie_word_embeddings
    assert ours.kv_heads == (getattr(theirs, "num_key_value_heads", None) or heads)
    assert ours.head_dim == (getattr(theirs, "head_dim", None) or theirs.hidden_size // heads)
    assert ours.layers == theirs.num_hidden_layers


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
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), FIELDS.values(), ids=FIELDS)
def test_bad_field_is_named(change, words):
    assert words in refusal(LLAMA_CONFIG | change)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
)
keys = st.sampled_from([*LLAMA_CONFIG, "head_dim", "dtype", "text_config", "quantization_config"])


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(keys, values, max_size=3), st.sampled_from(list(FAMILIES)))
def test_any_fields_are_read_or_refused(changes, model_type):
    content = {**LLAMA_CONFIG, **BERT_CONFIG, "model_type": model_type, **changes}
    try:
        config = parse_config(content, "config.json")
    except InputError:
        return
    assert isinstance(config, Config)
    assert config.attention_heads % config.kv_heads == 0


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60) | values.map(lambda v: json.dumps(v).encode()))
def test_any_file_is_refused_with_one_line(tmp_path_factory, content):
    directory: Path = tmp_path_factory.mktemp("config")
    (directory / "config.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_config(directory)
    assert "\n" not in str(caught.value)
