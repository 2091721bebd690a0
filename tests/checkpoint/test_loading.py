"""Checkpoints come alive exactly as stored, offline and quietly, or are refused."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from qprobe.checkpoint.headers import INDEX, WEIGHTS
from qprobe.checkpoint.loading import load_module
from qprobe.errors import InputError, UnavailableError
from tests.checkpoints import import_transformers, tiny_bert, tiny_llama


def edit_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_weights_are_those_of_the_file(tmp_path):
    module = load_module(tiny_bert(tmp_path))
    stored = load_file(tmp_path / WEIGHTS)
    assert not module.training
    assert type(module).__name__ == "BertModel"
    assert {n: p.shape for n, p in module.named_parameters()} == {
        n: t.shape for n, t in stored.items()
    }
    assert all(torch.equal(p, stored[n]) for n, p in module.named_parameters())


def test_shards(tmp_path):
    module = load_module(tiny_llama(tmp_path, sharded=True))
    assert (tmp_path / INDEX).exists()
    assert type(module).__name__ == "LlamaForCausalLM"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_stored_dtype_wins_over_the_config(tmp_path, dtype):
    edit_config(tiny_llama(tmp_path, dtype=dtype), dtype="float32")
    assert load_module(tmp_path).dtype == getattr(torch, dtype)


def test_unknown_class_falls_back_to_the_plain_model(tmp_path):
    edit_config(tiny_bert(tmp_path), architectures=["MyBert"])
    assert type(load_module(tmp_path)).__name__ == "BertModel"


@pytest.mark.parametrize("name", ["pipeline", "AutoModel", "torch"])
def test_other_names_of_transformers_are_no_classes_of_models(tmp_path, name):
    edit_config(tiny_bert(tmp_path), architectures=[name])
    assert type(load_module(tmp_path)).__name__ == "BertModel"


def test_quiet(tmp_path, capfd):
    tiny_bert(tmp_path)
    logging = import_transformers().utils.logging
    logging.enable_progress_bar()
    load_module(tmp_path)
    logging.disable_progress_bar()
    assert capfd.readouterr() == ("", "")


def test_the_settings_of_transformers_are_as_before(tmp_path):
    tiny_bert(tmp_path)
    logging = import_transformers().utils.logging
    logging.enable_progress_bar()
    before = logging.get_verbosity()
    load_module(tmp_path)
    assert logging.is_progress_bar_enabled()
    assert logging.get_verbosity() == before
    logging.disable_progress_bar()


def test_code_in_the_directory_is_not_run(tmp_path):
    tiny_bert(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    edit_config(tmp_path, auto_map={"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"})
    edit_config(tmp_path, attn_implementation="somebody/kernel")
    assert type(load_module(tmp_path)).__name__ == "BertModel"


def test_pooler_may_be_missing(tmp_path):
    tiny_bert(tmp_path)
    stored = load_file(tmp_path / WEIGHTS)
    save_file({n: t for n, t in stored.items() if "pooler" not in n}, tmp_path / WEIGHTS)
    assert type(load_module(tmp_path)).__name__ == "BertModel"


def test_other_missing_weights_are_never_made_up(tmp_path):
    edit_config(tiny_bert(tmp_path), architectures=["BertForSequenceClassification"])
    with pytest.raises(
        InputError, match=r"lacks 2 tensors of BertForSequenceClassification, such as classifier"
    ):
        load_module(tmp_path)


def test_quantized_already(tmp_path):
    edit_config(tiny_llama(tmp_path), quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(InputError, match="has a quantization_config"):
        load_module(tmp_path)


def test_adapter_beside_the_model(tmp_path):
    (tiny_llama(tmp_path) / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match="holds an adapter"):
        load_module(tmp_path)


def test_file_of_another_name(tmp_path):
    (tiny_llama(tmp_path) / WEIGHTS).rename(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="file of another name") as caught:
        load_module(tmp_path)
    assert caught.value.hint == "rename it to model.safetensors"


def test_cut_file_ends_in_our_error(tmp_path):
    path = tiny_bert(tmp_path) / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="cut short in its data"):
        load_module(tmp_path)


def test_shapes_that_transformers_refuses(tmp_path):
    edit_config(tiny_bert(tmp_path), vocab_size=95)
    with pytest.raises(InputError, match="transformers cannot load") as caught:
        load_module(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_value_that_transformers_refuses(tmp_path):
    edit_config(tiny_bert(tmp_path), hidden_act="nonsense")
    with pytest.raises(InputError, match="transformers cannot load"):
        load_module(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"hidden_dropout_prob": "much"}, {"pad_token_id": 10**12}, {"hidden_act": 7}],
    ids=str,
)
def test_whatever_transformers_raises_ends_in_our_error(tmp_path, changes):
    edit_config(tiny_bert(tmp_path), **changes)
    with pytest.raises(InputError, match="transformers cannot load") as caught:
        load_module(tmp_path)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_without_transformers(tmp_path, monkeypatch):
    tiny_bert(tmp_path)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UnavailableError, match="transformers is needed") as caught:
        load_module(tmp_path)
    assert caught.value.hint == 'pip install "transformers>=5"'
