"""A module that transformers knows nothing of is described as far as its layers tell."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qprobe.checkpoint import read_model
from qprobe.errors import InputError


class Plain(nn.Module):
    """An embedding, two layers and a head that is tied to the embedding."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.layers = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 8, bias=False))
        self.head = nn.Linear(8, 50, bias=False)
        if tied:
            self.head.weight = self.embed.weight


def test_plain_module():
    model = read_model(Plain())
    assert [li.tensor for li in model.linears] == ["layers.0.weight", "layers.2.weight"]
    assert [li.has_bias for li in model.linears] == [True, False]
    assert {(li.kind, li.rows) for li in model.linears} == {("other", "tokens")}
    assert (model.name, model.architecture, model.model_type) == ("Plain", "Plain", "other")
    assert (model.hidden_size, model.intermediate_size, model.vocab_size) == (24, 24, 50)
    assert (model.other_elements, model.kv_elements_per_token) == (50 * 8, 0)


def test_untied_head_is_a_linear():
    assert [li.tensor for li in read_model(Plain(tied=False)).linears][-1] == "head.weight"


def test_every_linear_stands_alone():
    model = read_model(Plain())
    assert list(model.groups()) == [linear.tensor for linear in model.linears]


def test_a_lone_linear():
    model = read_model(nn.Linear(4, 6))
    assert [(li.tensor, li.n, li.k) for li in model.linears] == [("weight", 6, 4)]
    assert model.other_elements == 0


def test_the_dtype_is_that_of_most_elements():
    module = nn.Sequential(nn.Linear(64, 64), nn.Linear(4, 4), nn.Linear(4, 4)).to(torch.float32)
    module[0].to(torch.bfloat16)
    assert read_model(module).dtype == "bfloat16"


class Packed(nn.Linear):
    """A layer whose weight costs something to ask for, as those that qprobe installs."""

    compute_dtype = torch.bfloat16

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = 8, 4
        self.register_parameter("bias", None)

    @property
    def weight(self) -> torch.Tensor:
        raise AssertionError("the weight was unpacked")


def test_a_packed_layer_is_described_without_its_weight():
    linear = read_model(nn.Sequential(Packed())).linears[0]
    assert (linear.tensor, linear.n, linear.k, linear.dtype) == ("0.weight", 4, 8, "bfloat16")


def test_a_meta_module_is_enough():
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(8192, 8192))
    assert read_model(module).linears[0].n == 8192


def test_a_config_of_an_unknown_kind_is_no_obstacle():
    module = Plain()
    module.config = type("Config", (), {"to_dict": lambda self: {"model_type": "mine"}})()
    assert read_model(module).model_type == "other"


@pytest.mark.parametrize("thing", [7, None, {"a": 1}, nn.Linear], ids=repr)
def test_neither_path_nor_module(thing):
    with pytest.raises(InputError, match=r"neither a path nor an nn\.Module"):
        read_model(thing)


def test_module_without_linears():
    with pytest.raises(InputError, match=r"LayerNorm has no nn\.Linear"):
        read_model(nn.LayerNorm(4))


def test_module_of_integers():
    module = nn.Linear(4, 4, bias=False)
    module.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.int8), requires_grad=False)
    with pytest.raises(InputError, match="stored as int8: quantized already"):
        read_model(module)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_linear_of_no_inputs_is_left_out():
    model = read_model(nn.Sequential(nn.Linear(0, 4), nn.Linear(4, 4)))
    assert [linear.tensor for linear in model.linears] == ["1.weight"]


def test_lazy_layers_are_refused_in_words():
    with pytest.raises(InputError, match="lazy layers"):
        read_model(nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(4)))
