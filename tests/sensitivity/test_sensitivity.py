"""Sensitivity, measured through the model's own forward."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from qprobe.checkpoint import read_model
from qprobe.checkpoint.forward import run_forward
from qprobe.checkpoint.headers import WEIGHTS
from qprobe.checkpoint.loading import load_module
from qprobe.checkpoint.text import read_text, token_batch, tokenize
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import InputError
from qprobe.layers._unfold import unfolded
from qprobe.policy.error import ErrorModel
from qprobe.sensitivity import _ensure as ensuring
from qprobe.sensitivity import _measure as measuring
from qprobe.sensitivity import ensure_sensitivity, measure_sensitivity
from qprobe.sensitivity._ensure import hash_weights
from qprobe.sensitivity._simulate import error_power, simulated
from tests.checkpoints import import_transformers, minilm, tiny_bert, tiny_llama


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def found(path):
    return measure_sensitivity(path, tuple(SCHEMES))


def test_every_layer_under_every_scheme_and_algorithm(path, found):
    model = read_model(path)
    tensors = {linear.tensor for linear in model.linears}
    pairs = {(noise.scheme, noise.algorithm) for noise in found.layers}
    assert {noise.tensor for noise in found.layers} == tensors
    assert {(n.tensor, n.scheme, n.algorithm) for n in found.layers} == {
        (linear.tensor, *pair)
        for linear in model.linears
        for pair in pairs
        if not SCHEMES[pair[0]].objection(linear.n, linear.k)
    }
    assert {scheme for scheme, _ in pairs} == set(SCHEMES) - {"NONE"}
    assert {a for s, a in pairs if s == "W8A8"} == {"rtn", "rtn_reduce_range"}
    assert {a for s, a in pairs if s == "W4A16"} == {"mse"}
    assert {gain.group for gain in found.gains} == set(model.groups())


def test_noise_grows_with_the_coarseness_of_the_scheme(found):
    table = {(n.tensor, n.scheme, n.algorithm): n.noise for n in found.layers}
    for tensor in {noise.tensor for noise in found.layers}:
        fine, coarse = (table[tensor, "W8A16", a] for a in ("rtn", "rtn_reduce_range"))
        assert coarse == pytest.approx(4 * fine, rel=0.6), "one bit less is four times the power"
        assert table[tensor, "W8A8", "rtn"] > fine


def test_the_sum_over_groups_predicts_the_uniform_error(path, found):
    model = read_model(path)
    gains = {(gain.group, gain.activations): gain.gain or 0.0 for gain in found.gains}
    table = {(n.tensor, n.scheme, n.algorithm): n.noise for n in found.layers}
    for uniform in found.uniform:
        total = sum(
            gains[group, SCHEMES[uniform.scheme].activations]
            * sum(table[m.tensor, uniform.scheme, uniform.algorithm] for m in members)
            / len(members)
            for group, members in model.groups().items()
            if (members[0].tensor, uniform.scheme, uniform.algorithm) in table
        )  # fmt: skip
        assert math.sqrt(total / uniform.power) == pytest.approx(1, abs=0.5)


def test_a_group_that_does_not_reach_the_output_has_no_gain(found):
    for gain in found.gains:
        if gain.group == "pooler.dense.weight":
            assert gain.gain is None
        else:
            assert gain.gain is not None
            assert gain.gain > 0


def test_the_noise_floor_is_that_of_bf16(path, found):
    assert 1e-3 < math.sqrt(found.noise_floor) < 3e-2
    assert found.metric == "last_hidden_state"
    assert found.method == "calibrated"


def test_an_outlier_feature_hurts_quantized_activations_alone(path):
    module = load_module(path)
    before = measure_sensitivity(module, ("W8A8", "W8A16"))
    norm = module.encoder.layer[0].attention.output.LayerNorm
    norm.weight.data[5] *= 300
    after = measure_sensitivity(module, ("W8A8", "W8A16"))
    tensor = "encoder.layer.0.intermediate.dense.weight"

    def noise(sensitivity, scheme):
        return next(
            n.noise
            for n in sensitivity.layers
            if (n.tensor, n.scheme, n.algorithm) == (tensor, scheme, "rtn")
        )

    def relative_to_weights(sensitivity):
        return noise(sensitivity, "W8A8") / noise(sensitivity, "W8A16")

    assert relative_to_weights(after) != pytest.approx(relative_to_weights(before), rel=0.05)
    assert {g.group: g.gain for g in after.gains} != {g.group: g.gain for g in before.gains}


def test_the_module_is_left_as_it_was(path):
    module = load_module(path).train()
    module.encoder.layer[0].eval()
    modes = {name: child.training for name, child in module.named_modules()}
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    measure_sensitivity(module, ("W8A8",))
    assert {name: child.training for name, child in module.named_modules()} == modes
    assert all(torch.equal(t, state[name]) for name, t in module.state_dict().items())
    assert not any(child._forward_hooks for child in module.modules())


def test_the_tokens_go_to_the_device_of_the_module(path, monkeypatch):
    devices = []

    class Ids:
        device = None

        def to(self, device):
            devices.append(device)
            return torch.arange(8).reshape(2, 4)

    monkeypatch.setattr(measuring, "calibration_ids", lambda *_: Ids())
    module = load_module(path)
    measure_sensitivity(module, ("W8A16",))
    assert devices == [module.device]


def test_the_head_is_left_out_of_the_gains_but_not_of_the_noise(tmp_path):
    found = measure_sensitivity(tiny_llama(tmp_path), ("W8A8",))
    assert "lm_head.weight" not in {gain.group for gain in found.gains}
    assert "lm_head.weight" in {noise.tensor for noise in found.layers}
    assert found.metric == "logits"


def test_an_unknown_scheme_is_refused(path):
    with pytest.raises(InputError, match="unknown schemes W3A3"):
        measure_sensitivity(path, ("W3A3",))


def test_weights_that_give_nan_are_refused(path):
    module = load_module(path)
    module.embeddings.word_embeddings.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="NaN or infinity on the calibration text"):
        measure_sensitivity(module, ("W8A16",))


def test_a_model_that_takes_no_tokens_is_refused():
    with pytest.raises(InputError):
        measure_sensitivity(nn.Sequential(nn.Linear(4, 4)), ("W8A16",))


def test_it_says_where_bytes_stand_in_for_tokens(path):
    said = []
    measure_sensitivity(path, ("W8A16",), progress=lambda message, _: said.append(message))
    assert said[0] == f"calibrating on the bytes of the text: {path} has no tokenizer.json"


class TestCache:
    @pytest.fixture(autouse=True)
    def folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "cache"))

    @pytest.fixture
    def calls(self, monkeypatch, found):
        calls = []
        monkeypatch.setattr(
            ensuring, "measure_sensitivity", lambda *a, **k: (calls.append(a), found)[1]
        )
        return calls

    def test_measured_once_for_each_text(self, path, calls, found):
        model = read_model(path)
        assert ensure_sensitivity(path, model) == found
        assert ensure_sensitivity(path, model) == found
        assert len(calls) == 1
        ensure_sensitivity(path, model, "Another text.")
        assert len(calls) == 2

    def test_other_tokens_of_the_same_text_are_measured_anew(self, calls, tmp_path):
        path = tiny_bert(tmp_path / "bert")
        model = read_model(path)
        ensure_sensitivity(path, model)
        words = {"model": {"type": "WordLevel", "vocab": {"[UNK]": 7}, "unk_token": "[UNK]"}}
        (path / "tokenizer.json").write_text(json.dumps(words))
        ensure_sensitivity(path, model)
        assert len(calls) == 2

    def test_never_gives_what_is_known_or_nothing(self, path, calls, found):
        model = read_model(path)
        assert ensure_sensitivity(path, model, measure="never") is None
        ensure_sensitivity(path, model)
        assert ensure_sensitivity(path, model, measure="never") == found
        assert len(calls) == 1

    def test_another_training_of_the_same_shapes_is_another_model(self, path, tmp_path):
        other = tiny_bert(tmp_path / "other", seed=1)
        assert read_model(other).model_hash == read_model(path).model_hash
        assert hash_weights(other) != hash_weights(path)

    @pytest.mark.parametrize("part", ["first", "middle", "last"])
    def test_a_change_of_any_matrix_is_another_training(self, tmp_path, part):
        path = tiny_bert(tmp_path / "bert")
        before = hash_weights(path)
        assert hash_weights(path) == before
        stored = load_file(path / WEIGHTS)
        for name, tensor in stored.items():
            changed = tensor.clone()
            flat = changed.view(-1)
            flat[{"first": 0, "middle": len(flat) // 2, "last": -1}[part]] += 1
            save_file(stored | {name: changed}, path / WEIGHTS)
            assert hash_weights(path) != before, name


def test_a_mix_comes_out_as_estimated_on_another_text():
    import_transformers()
    model, module = read_model(minilm()), load_module(minilm()).eval()
    errors = ErrorModel(model, measure_sensitivity(minilm(), ("W8A8", "W4A16")))
    powers = {group: errors.power(group, "W8A8", "rtn") or math.inf for group in model.groups()}
    least = sorted(powers, key=lambda group: powers[group])[: len(powers) // 2]
    estimated = sum(powers[group] for group in least)
    text = read_text(None, held_out=True)
    ids = token_batch(tokenize(text, minilm(), model.vocab_size), 8, 64)
    members = [linear.tensor for group in least for linear in model.groups()[group]]
    with torch.no_grad(), unfolded(module, [linear.tensor for linear in model.linears]) as made:
        exact = run_forward(module, ids)
        linears = [slot.linear for tensor in members for slot in made.slots[tensor]]
        with simulated(linears, "W8A8", "rtn"):
            found = error_power(exact, run_forward(module, ids))
    assert math.sqrt(found / estimated) == pytest.approx(1, abs=0.1)
