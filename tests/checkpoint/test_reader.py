"""A checkpoint's linears, read from headers, are those of the model that transformers builds."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from qprobe.checkpoint import read_model
from qprobe.checkpoint.headers import WEIGHTS
from qprobe.checkpoint.loading import load_module
from qprobe.checkpoint.names import resolve_modules
from qprobe.documents.model import Model
from qprobe.errors import InputError
from tests.checkpoints import (
    BERT_CONFIG,
    LLAMA_70B,
    LLAMA_CONFIG,
    import_transformers,
    llama_shapes,
    minilm,
    tiny_bert,
    tiny_llama,
    write_config,
    write_large,
    write_safetensors,
)


def assert_same_linears(model: Model, module: nn.Module) -> None:
    """The model's linears are the module's, one to one, and nothing is counted twice."""
    paths = resolve_modules(module, [linear.tensor for linear in model.linears])
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    expected = {
        path: child
        for path, child in module.named_modules()
        if isinstance(child, nn.Linear) and id(child.weight) not in embeddings
    }
    assert sorted(paths.values()) == sorted(expected)
    elements = model.other_elements
    for linear in model.linears:
        child = expected[paths[linear.tensor]]
        assert (linear.n, linear.k) == tuple(child.weight.shape)
        assert linear.has_bias == (child.bias is not None)
        assert linear.dtype == str(child.weight.dtype).removeprefix("torch.")
        elements += linear.n * linear.k + linear.n * linear.has_bias
    assert elements == sum(parameter.numel() for parameter in module.parameters())


CHECKPOINTS = {
    "bert": tiny_bert,
    "bert for masked words": lambda d: tiny_bert(d, "BertForMaskedLM"),
    "bert for pre-training": lambda d: tiny_bert(d, "BertForPreTraining"),
    "bert for classification": lambda d: tiny_bert(d, "BertForSequenceClassification"),
    "bert for token classification": lambda d: tiny_bert(d, "BertForTokenClassification"),
    "bert for questions": lambda d: tiny_bert(d, "BertForQuestionAnswering"),
    "llama": tiny_llama,
    "llama, tied": lambda d: tiny_llama(d, tied=True),
    "llama, sharded": lambda d: tiny_llama(d, sharded=True),
    "llama, bfloat16": lambda d: tiny_llama(d, dtype="bfloat16"),
}


@pytest.mark.parametrize("build", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_linears_of_the_path_are_those_of_the_module(tmp_path, build):
    model, module = read_model(build(tmp_path)), load_module(tmp_path)
    assert_same_linears(model, module)


@pytest.mark.parametrize("build", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_path_and_module_give_the_same_facts(tmp_path, build):
    model, live = read_model(build(tmp_path)), read_model(load_module(tmp_path))
    varying = {"created_utc", "name", "linears"}
    assert live.model_dump(exclude=varying) == model.model_dump(exclude=varying)
    assert sorted(live.linears, key=str) == sorted(model.linears, key=str)


FAMILY_CONFIGS = {
    "roberta": ("RobertaForMaskedLM", {"pad_token_id": 1}),
    "distilbert": ("DistilBertForSequenceClassification", {"dim": 64, "hidden_dim": 128, "n_heads": 4, "n_layers": 2}),
    "mistral": ("MistralForCausalLM", {"head_dim": 16}),
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen3": ("Qwen3ForCausalLM", {"head_dim": 32}),
}  # fmt: skip


@pytest.mark.parametrize("model_type", FAMILY_CONFIGS)
def test_every_other_family_reads_like_its_module(tmp_path, model_type):
    transformers = import_transformers()
    architecture, sizes = FAMILY_CONFIGS[model_type]
    plain = {k: v for k, v in LLAMA_CONFIG.items() if k not in ("architectures", "model_type")}
    config = transformers.AutoConfig.for_model(model_type, **{**plain, **sizes})
    torch.manual_seed(0)
    module = getattr(transformers, architecture)(config)
    module.save_pretrained(tmp_path)
    model = read_model(tmp_path)
    assert_same_linears(model, module)
    assert model.model_hash == read_model(module).model_hash


def test_minilm():
    model = read_model(minilm())
    assert model.name == "MiniLM-L6-H384-uncased"
    assert (model.architecture, model.model_type, model.dtype) == ("BertModel", "bert", "float32")
    assert (len(model.linears), len(model.groups())) == (37, 25)
    assert (model.hidden_size, model.intermediate_size, model.layers) == (384, 1536, 6)
    assert (model.attention_heads, model.vocab_size, model.max_tokens) == (12, 30522, 512)
    assert model.kv_elements_per_token == 0


def test_the_linears_of_minilm_are_those_of_its_module():
    import_transformers()
    assert_same_linears(read_model(minilm()), load_module(minilm()))


def test_bert_groups_kinds_and_rows(tmp_path):
    model = read_model(tiny_bert(tmp_path))
    groups = model.groups()
    assert list(groups)[:4] == [
        "encoder.layer.0.attention.output.dense.weight",
        "encoder.layer.0.attention.self.qkv",
        "encoder.layer.0.intermediate.dense.weight",
        "encoder.layer.0.output.dense.weight",
    ]
    kinds = [linear.kind for linear in groups["encoder.layer.1.attention.self.qkv"]]
    assert sorted(kinds) == ["key", "query", "value"]
    by_kind = {linear.kind: linear.rows for linear in model.linears}
    assert by_kind.pop("pooler") == "sequence"
    assert set(by_kind) == {"query", "key", "value", "attention_output", "up", "down"}
    assert set(by_kind.values()) == {"tokens"}


@pytest.mark.parametrize(
    ("architecture", "rows"),
    [("BertForSequenceClassification", "sequence"), ("BertForTokenClassification", "tokens")],
)
def test_a_classifier_sees_what_its_class_gives_it(tmp_path, architecture, rows):
    model = read_model(tiny_bert(tmp_path, architecture))
    assert {li.tensor: li.rows for li in model.linears}["classifier.weight"] == rows


def test_llama_groups_kinds_and_rows(tmp_path):
    model = read_model(tiny_llama(tmp_path))
    groups = {name: [li.kind for li in members] for name, members in model.groups().items()}
    assert sorted(groups["model.layers.0.self_attn.qkv"]) == ["key", "query", "value"]
    assert sorted(groups["model.layers.1.mlp.gate_up"]) == ["gate", "up"]
    assert groups["lm_head.weight"] == ["head"]
    assert {li.tensor: li.rows for li in model.linears}["lm_head.weight"] == "last_token"


def test_grouped_heads_make_the_kv_cache_small(tmp_path):
    assert read_model(tiny_llama(tmp_path)).kv_elements_per_token == 2 * 2 * (2 * 16)


def test_a_tied_head_is_no_linear(tmp_path):
    model = read_model(tiny_llama(tmp_path, tied=True))
    assert "head" not in {linear.kind for linear in model.linears}


def test_a_tied_head_that_the_file_repeats_is_counted_once(tmp_path):
    shapes = llama_shapes(LLAMA_CONFIG)
    write_safetensors(tmp_path / WEIGHTS, shapes)
    tied = read_model(write_config(tmp_path, LLAMA_CONFIG | {"tie_word_embeddings": True}))
    untied = read_model(write_config(tmp_path, LLAMA_CONFIG))
    assert tied.other_elements == untied.other_elements
    assert len(tied.linears) == len(untied.linears) - 1


def test_the_layer_order_is_that_of_people(tmp_path):
    config = LLAMA_CONFIG | {"num_hidden_layers": 12}
    shapes = dict(sorted(llama_shapes(config).items()))
    write_safetensors(tmp_path / WEIGHTS, shapes)
    queries = [
        li.tensor for li in read_model(write_config(tmp_path, config)).linears if li.kind == "query"
    ]
    assert queries == [f"model.layers.{i}.self_attn.q_proj.weight" for i in range(12)]


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5)
        | st.builds(
            "{}layers.{}.self_attn.q_proj.weight".format, st.text(max_size=2), st.text(max_size=2)
        ),
        st.tuples(st.sampled_from(["F32", "I8"]), st.lists(st.integers(0, 4), max_size=3)),
        max_size=3,
    )
)
@example({"layers.*.self_attn.q_proj.weight": ("F32", [])})
@example({"layers.²": ("F32", [1]), "layers." + "9" * 5000: ("F32", [1])})
def test_any_tensor_names_are_read_or_refused(tmp_path_factory, shapes):
    directory = tmp_path_factory.mktemp("names")
    write_safetensors(directory / WEIGHTS, llama_shapes(LLAMA_CONFIG) | shapes)
    try:
        read_model(write_config(directory, LLAMA_CONFIG))
    except InputError as error:
        assert error.hint


def test_buffers_that_old_files_hold_are_not_parameters(tmp_path):
    shapes = llama_shapes(LLAMA_CONFIG)
    write_safetensors(tmp_path / "a" / WEIGHTS, shapes)
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [8]), "ids": ("I64", [64])}
    write_safetensors(tmp_path / "b" / WEIGHTS, shapes | extra)
    models = [read_model(write_config(tmp_path / name, LLAMA_CONFIG)) for name in "ab"]
    assert models[0].other_elements == models[1].other_elements


def test_the_hash_ignores_place_and_weights_but_not_shapes(tmp_path):
    first = read_model(tiny_bert(tmp_path / "a", seed=0))
    second = read_model(tiny_bert(tmp_path / "b", seed=1))
    wider = {**llama_shapes(LLAMA_CONFIG), "lm_head.weight": ("BF16", [97, 64])}
    hashes = set()
    for name, shapes in {"c": llama_shapes(LLAMA_CONFIG), "d": wider}.items():
        write_safetensors(tmp_path / name / WEIGHTS, shapes)
        hashes.add(read_model(write_config(tmp_path / name, LLAMA_CONFIG)).model_hash)
    assert first.model_hash == second.model_hash
    assert len(hashes | {first.model_hash}) == 3


def test_a_70b_checkpoint_reads_in_two_seconds(tmp_path):
    write_large(tmp_path, LLAMA_70B, llama_shapes(LLAMA_70B), 30)
    start = time.perf_counter()
    model = read_model(tmp_path)
    assert time.perf_counter() - start < 2
    total = model.other_elements + sum(linear.n * linear.k for linear in model.linears)
    assert total == 70_553_706_496
    assert model.kv_elements_per_token == 2 * 80 * 8 * 128


def change(directory: Path, shapes: dict, config: dict) -> Path:
    write_safetensors(directory / WEIGHTS, llama_shapes(LLAMA_CONFIG) | shapes)
    return write_config(directory, LLAMA_CONFIG | config)


Q = "model.layers.0.self_attn.q_proj"
MISFITS = {
    "other layers": ({}, {"num_hidden_layers": 3}, "query weights of 2 llama layers, config.json announces 3"),
    "other architecture": ({}, BERT_CONFIG, "query weights of 0 bert layers"),
    "other width": ({}, {"hidden_size": 128, "head_dim": 16}, r"q_proj.weight has the shape \[64, 64\], config.json implies \[64, 128\]"),
    "integers": ({f"{Q}.weight": ("I8", [64, 64])}, {}, "is stored as int8: quantized already"),
    "float8": ({f"{Q}.weight": ("F8_E4M3", [64, 64])}, {}, "is stored as float8_e4m3fn: quantized already"),
    "a vector": ({f"{Q}.weight": ("BF16", [64])}, {}, r"has the shape \[64\], expected the \(N, K\)"),
    "no rows": ({f"{Q}.weight": ("BF16", [0, 64])}, {}, r"has the shape \[0, 64\]"),
    "a short bias": ({f"{Q}.bias": ("BF16", [63])}, {}, r"q_proj.bias' has the shape \[63\], expected \[64\]"),
}  # fmt: skip


@pytest.mark.parametrize(("shapes", "config", "words"), MISFITS.values(), ids=MISFITS)
def test_weights_and_config_that_do_not_fit(tmp_path, shapes, config, words):
    with pytest.raises(InputError, match=words) as caught:
        read_model(change(tmp_path, shapes, config))
    assert caught.value.hint


def test_packed_weights_are_called_quantized(tmp_path):
    shapes = {k: v for k, v in llama_shapes(LLAMA_CONFIG).items() if "proj" not in k}
    write_safetensors(tmp_path / WEIGHTS, shapes | {f"{Q}.weight_packed": ("I32", [64, 8])})
    write_config(tmp_path, LLAMA_CONFIG | {"quantization_config": {"quant_method": "gptq"}})
    with pytest.raises(InputError, match="quantized already"):
        read_model(tmp_path)


def test_reading_a_path_imports_neither_torch_nor_transformers(tmp_path):
    write_safetensors(tmp_path / WEIGHTS, llama_shapes(LLAMA_CONFIG))
    write_config(tmp_path, LLAMA_CONFIG)
    code = (
        "import sys; from qprobe.checkpoint import read_model; read_model(sys.argv[1]);"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
