"""A plan applied to layers that are no `nn.Linear`, that are several, or that are not there."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from qprobe.apply import apply_plan, receipt_of
from qprobe.apply._variants import make_variant
from qprobe.checkpoint import read_model
from qprobe.checkpoint.loading import load_module
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import InputError, PlanMismatchError
from qprobe.layers._experts import Experts
from qprobe.layers._linear import PlannedLinear
from qprobe.layers._unfold import find_sites, unfolded
from tests.checkpoint.families import CASES, T5, Case, inputs_for
from tests.plans import decide, plan_for

T5_WIDE = T5 | {"d_model": 128, "d_kv": 32}
"""Widths that every scheme can store."""
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def output(module):
    """Whatever the model gives first that is a tensor of numbers, on a batch of its own inputs."""
    with torch.no_grad():
        found = module(**inputs_for(module, 2, 6))
    names = (
        "logits",
        "prediction_logits",
        "last_hidden_state",
        "image_embeds",
        "text_embeds",
    )
    return next(found[name] for name in names if name in found)  # fmt: skip


def distance(y, exact):
    return float((y - exact).norm() / exact.norm())


@EVERY
def test_an_unquantized_plan_changes_nothing(tmp_path, case):
    module = case.make()
    exact = output(module)
    applied = apply_plan(plan_for(read_model(case.save(tmp_path)), decide("NONE")), module)
    assert distance(output(applied), exact) < 1e-6


@EVERY
def test_a_quantized_plan_reaches_every_weight_and_stays_close(tmp_path, case):
    module, model = case.make(), read_model(case.save(tmp_path))
    exact = output(module)
    receipt = receipt_of(apply_plan(plan_for(model, decide("W8A16")), module))
    layers = [child for child in module.modules() if isinstance(child, PlannedLinear)]
    assert len(layers) == sum(linear.count for linear in model.linears)
    assert 0 < distance(output(module), exact) < 0.1
    assert all(0 < layer.weight_error < 0.01 for layer in receipt.layers)
    stored = {
        linear.tensor: linear.count * (linear.n * linear.k + 4 * linear.n)
        for linear in model.linears
    }
    biases = {linear.tensor: linear.bias_bytes("float32") for linear in model.linears}
    for layer in receipt.layers:
        assert layer.weight_bytes_after == stored[layer.tensor] + biases[layer.tensor]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_models_that_look_at_the_type_of_a_weight_run_under_every_scheme(scheme, dtype):
    module = Case("t5", "T5ForConditionalGeneration", T5_WIDE).make()
    exact = output(module)
    apply_plan(plan_for(read_model(module), decide(scheme), compute_dtype=dtype), module)
    assert distance(output(module).float(), exact) < 0.5


@pytest.mark.parametrize("name", ["gpt2", "mixtral", "qwen2_moe", "deepseek_v3"])
def test_a_plan_of_the_module_itself_applies_too(name):
    module = CASES[name].make()
    exact = output(module)
    apply_plan(plan_for(read_model(module), decide("NONE", "cpu.onednn_linear")), module)
    assert distance(output(module), exact) < 1e-5


@pytest.mark.parametrize("name", ["gpt2", "mixtral"])
def test_an_alternative_is_made_of_the_same_layers(name):
    module = CASES[name].make()
    exact = output(module)
    plan = plan_for(read_model(module), decide("W8A16"))
    none, int8 = plan.targets[plan.primary].alternatives[:2]
    assert distance(output(make_variant(plan, none, module, "cpu")), exact) < 1e-6
    assert 0 < distance(output(make_variant(plan, int8, module, "cpu")), exact) < 0.05
    assert not any(isinstance(child, (PlannedLinear, Experts)) for child in module.modules())


@EVERY
def test_an_unfolded_model_computes_the_same_and_folds_back(case):
    module = case.make()
    exact, names = output(module), dict(module.named_modules())
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with unfolded(module, [linear.tensor for linear in read_model(module).linears]) as made:
        linears = [slot.linear for slots in made.slots.values() for slot in slots]
        assert all(type(linear).__mro__[-3:] == nn.Linear.__mro__[-3:] for linear in linears)
        assert distance(output(module), exact) < 1e-6
    assert dict(module.named_modules()) == names
    assert all(torch.equal(state[name], tensor) for name, tensor in module.state_dict().items())


def test_experts_hold_no_more_than_their_weights():
    module = CASES["mixtral"].make()
    before = {p.untyped_storage().data_ptr() for p in module.parameters()}
    with unfolded(module, [linear.tensor for linear in read_model(module).linears]):
        assert {p.untyped_storage().data_ptr() for p in module.parameters()} == before


def test_tokens_that_go_to_no_expert_here_get_nothing():
    experts = Experts([[nn.Linear(4, 6, bias=False)]], [nn.Linear(3, 4, bias=False)], nn.SiLU())
    x, weights = torch.randn(5, 4), torch.ones(5, 1)
    index = torch.tensor([[0], [1], [0], [1], [1]])
    y = experts(x, index, weights)
    assert torch.equal(y[index[:, 0] == 1], torch.zeros(3, 4))
    assert bool((y[index[:, 0] == 0] != 0).any())


def test_experts_of_another_number_are_refused(tmp_path):
    case = CASES["mixtral"]
    plan = plan_for(read_model(case.save(tmp_path)), decide("W8A16"))
    other = copy.deepcopy(case.sizes) | {"num_local_experts": 3}
    module = type(case)(case.model_type, case.architecture, other).make()
    with pytest.raises(
        PlanMismatchError, match=r"w1\.weight is of 4 experts in the plan, of 3 here"
    ):
        apply_plan(plan, module)
    assert not any(isinstance(child, (PlannedLinear, Experts)) for child in module.modules())


def test_experts_that_compute_otherwise_are_refused(tmp_path):
    case = CASES["mixtral"]
    module = case.make()
    del module.model.layers[1].mlp.experts.act_fn
    with pytest.raises(
        PlanMismatchError, match=r"layers\.1\.mlp\.experts is a MixtralExperts, whose"
    ):
        find_sites(module, [linear.tensor for linear in read_model(case.save(tmp_path)).linears])


class Shared(nn.Module):
    """One layer in two places, and one weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.again = self.first
        self.tied = nn.Linear(8, 8)
        self.tied.weight, self.tied.bias = self.first.weight, self.first.bias
        self.partly = nn.Linear(8, 8)
        self.partly.weight = self.first.weight
        self.other = nn.Linear(8, 8)

    def forward(self, x):
        return self.other(self.partly(self.tied(self.again(self.first(x)))))


def test_a_shared_layer_is_one_entry_and_replaced_everywhere():
    module = Shared()
    x = torch.randn(3, 8)
    exact = module(x).detach()
    model = read_model(module)
    # Of one weight, `partly` has a bias of its own: it computes something else.
    assert [linear.tensor for linear in model.linears] == [
        "first.weight", "partly.weight", "other.weight",
    ]  # fmt: skip
    apply_plan(plan_for(model, decide("W8A16")), module)
    assert isinstance(module.first, PlannedLinear)
    assert module.first is module.again is module.tied
    assert isinstance(module.partly, PlannedLinear)
    assert module.partly is not module.first
    assert 0 < distance(module(x).detach(), exact) < 0.05


@pytest.mark.parametrize("name", ["gpt2", "mixtral", "bert"])
def test_a_module_on_meta_has_a_model_and_says_why_no_plan_applies(name):
    with torch.device("meta"):
        module = CASES[name].make()
    model = read_model(module)
    assert model.model_hash == read_model(CASES[name].make()).model_hash
    with pytest.raises(InputError, match="on meta"):
        apply_plan(plan_for(model, decide("W8A16")), module)


CHANGES = {
    "gpt2": (lambda m: m.transformer.h[0].mlp, "c_fc", (64, 128), "256 × 64 in the plan"),
    "bert": (lambda m: m.bert.encoder.layer[0].intermediate, "dense", (64, 96), "128 × 64 in the plan"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_of_another_shape_than_planned_is_refused_unchanged(name):
    module = CASES[name].make()
    plan = plan_for(read_model(module), decide("W8A16"))
    owner, attribute, (k, n), words = CHANGES[name]
    setattr(owner(module), attribute, nn.Linear(k, n))
    with pytest.raises(PlanMismatchError, match=words):
        apply_plan(plan, module)
    assert not any(isinstance(child, PlannedLinear) for child in module.modules())


@pytest.mark.parametrize("name", ["gpt2", "mixtral"])
def test_weights_that_are_not_finite_are_refused(name):
    module = CASES[name].make()
    plan = plan_for(read_model(module), decide("W8A16"))
    matrix = next(p for n, p in module.named_parameters() if "c_fc.weight" in n or "gate_up" in n)
    with torch.no_grad():
        matrix.view(-1)[7] = torch.nan
    with pytest.raises(InputError, match="holds NaN or infinity"):
        apply_plan(plan, module)


@pytest.mark.parametrize("name", ["gpt2", "mixtral", "vit", "clip, bare text", "t5", "whisper"])
def test_a_checkpoint_loads_and_takes_the_plan_made_from_its_headers(tmp_path, name):
    path = CASES[name].save(tmp_path)
    module = load_module(path)
    exact = output(module)
    apply_plan(plan_for(read_model(path), decide("W8A16")), module)
    assert distance(output(module), exact) < 0.05
