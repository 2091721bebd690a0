"""A file may hold what the class that config.json names has no place for: nothing of that is planned."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from qprobe.checkpoint import read_model
from qprobe.checkpoint.headers import WEIGHTS
from qprobe.checkpoint.loading import load_module
from qprobe.sensitivity import measure_sensitivity
from tests.checkpoint.families import CASES, TEXT, WHISPER, Case

FILES = {
    "bert, masked words of pre-training": (CASES["bert"], "BertForMaskedLM"),
    "bert, bare of pre-training": (CASES["bert"], "BertModel"),
    "bert, bare of a classifier": (Case("bert", "BertForSequenceClassification", TEXT), "BertModel"),
    "roberta, bare of masked words": (CASES["roberta"], "RobertaModel"),
    "distilbert, bare of a classifier": (CASES["distilbert"], "DistilBertModel"),
    "gpt2, bare of two heads": (CASES["gpt2, two heads"], "GPT2Model"),
    "opt, bare of a language model": (CASES["opt"], "OPTModel"),
    "llama, bare of a language model": (CASES["llama"], "LlamaModel"),
    "llama, bare of scores": (CASES["llama, scores"], "LlamaModel"),
    "qwen2_moe, bare of a language model": (CASES["qwen2_moe"], "Qwen2MoeModel"),
    "gemma3, bare of a language model": (CASES["gemma3"], "Gemma3TextModel"),
    "t5, encoder of the whole": (CASES["t5"], "T5EncoderModel"),
    "whisper, classes of sound": (CASES["whisper"], "WhisperModel"),
    "whisper, decoder of the whole": (Case("whisper", "WhisperModel", WHISPER), "WhisperForCausalLM"),
    "vit, bare of classes": (CASES["vit, classes"], "ViTModel"),
}  # fmt: skip


def save_as(directory, case, architecture):
    """Write the model of the case, and a config that names another class."""
    case.save(directory)
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architectures": [architecture]}))
    return directory


def described(model):
    """All that is said of the linears but their names, and how much else there is.

    A pooler is left out: where a file lacks it, it is made up.
    """
    linears = [
        one.model_dump(exclude={"tensor", "fusion_group"})
        for one in model.linears
        if one.kind != "pooler"
    ]
    return (
        sorted(map(str, linears)),
        model.other_elements,
        model.layers,
        model.kv_elements_per_token,
    )


@pytest.mark.parametrize(("case", "architecture"), FILES.values(), ids=FILES)
def test_the_directory_reads_like_its_module(tmp_path, case, architecture):
    model, live = (
        read_model(save_as(tmp_path, case, architecture)),
        read_model(load_module(tmp_path)),
    )
    assert described(model) == described(live)
    if [one.tensor for one in model.linears] == [one.tensor for one in live.linears]:
        assert model.model_hash == live.model_hash


def add(directory, name, shape):
    tensors = load_file(directory / WEIGHTS)
    tensors[name] = torch.zeros(shape)
    save_file(tensors, directory / WEIGHTS, {"format": "pt"})


def test_a_pooler_that_masked_words_do_not_need(tmp_path):
    CASES["roberta"].save(tmp_path)
    before = read_model(tmp_path)
    add(tmp_path, "roberta.pooler.dense.weight", (64, 64))
    add(tmp_path, "roberta.pooler.dense.bias", (64,))
    assert read_model(tmp_path).model_hash == before.model_hash


@pytest.mark.parametrize("name", ["bert, masked words of pre-training", "llama, bare of scores"])
def test_it_can_be_measured(tmp_path, name):
    found = measure_sensitivity(save_as(tmp_path, *FILES[name]), ("W8A16",))
    assert found.model_hash == read_model(tmp_path).model_hash


def test_a_head_that_differs_from_the_embedding_is_not_tied(tmp_path):
    untied = read_model(CASES["llama"].save(tmp_path))
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": True}))
    model, live = read_model(tmp_path), read_model(load_module(tmp_path))
    assert model.linears == untied.linears
    assert model.model_hash == live.model_hash
    tensors = load_file(tmp_path / WEIGHTS)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / WEIGHTS, {"format": "pt"})
    model, live = read_model(tmp_path), read_model(load_module(tmp_path))
    assert "head" not in {linear.kind for linear in model.linears}
    assert model.model_hash == live.model_hash


def test_a_class_that_transformers_lacks_keeps_all_of_its_linears(tmp_path):
    case = CASES["llama"]
    named = read_model(case.save(tmp_path))
    foreign = read_model(save_as(tmp_path, replace(case), "MyModel"))
    assert foreign.linears == named.linears
