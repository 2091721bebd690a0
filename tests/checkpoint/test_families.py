"""Of every family: what headers say of its linears is what its modules do, in any transformers 5."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from qprobe.checkpoint import read_model
from qprobe.checkpoint.architectures import FAMILIES, is_one_of
from qprobe.checkpoint.linears import is_linear, is_transposed, linear_shape
from qprobe.checkpoint.names import find_places, resolve_modules
from qprobe.layers._experts import Experts
from qprobe.layers._unfold import unfolded
from tests.checkpoint.families import CASES, Case, expands_before_caching, inputs_for

BATCH, PROMPT = 3, 5
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def stored_elements(module: nn.Module) -> int:
    """Numbers of parameters and of the buffers that a checkpoint holds."""
    tensors = {id(p): p for p in module.parameters()}
    for child in module.modules():
        for name, buffer in child._buffers.items():
            if name not in child._non_persistent_buffers_set and buffer is not None:
                tensors[id(buffer)] = buffer
    return sum(t.numel() for t in tensors.values() if t.is_floating_point())


def matrices(module: nn.Module) -> dict[str, nn.Module]:
    """Path → every linear but embeddings and routers, which are to stay as they are."""
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    routers = FAMILIES[module.config.model_type].left_alone
    return {
        path: child
        for path, child in module.named_modules()
        if is_linear(child) and id(child.weight) not in embeddings and not is_one_of(routers, path)
    }


def test_every_family_has_a_case():
    assert {case.model_type for case in CASES.values()} == set(FAMILIES)


@every_case
def test_every_linear_is_found_by_name_and_nothing_else(tmp_path, case: Case):
    module, model = case.make(), read_model(case.save(tmp_path))
    places = find_places(module, [linear.tensor for linear in model.linears])
    linears = matrices(module)
    assert {place.path for place in places.values() if not place.holds_experts} == set(linears)
    elements = model.other_elements
    for linear in model.linears:
        place = places[linear.tensor]
        elements += linear.count * (linear.n * linear.k + linear.n * linear.has_bias)
        if not place.holds_experts:
            child = linears[place.path]
            assert linear_shape(child) == (linear.n, linear.k)
            assert linear.transposed == is_transposed(child)
            assert linear.has_bias == (child.bias is not None)
    assert elements == stored_elements(module)


@every_case
def test_path_and_module_give_the_same_model(tmp_path, case: Case):
    model, live = read_model(case.save(tmp_path)), read_model(case.make())
    varying = {"created_utc", "name", "linears"}
    assert live.model_dump(exclude=varying) == model.model_dump(exclude=varying)
    assert sorted(live.linears, key=str) == sorted(model.linears, key=str)


def seen_rows(module: nn.Module, arguments: dict) -> tuple[dict[str, int], object]:
    """Path → rows that the linear there saw in a forward pass, and the output."""
    rows: dict[str, int] = {}
    handles = [
        child.register_forward_hook(
            lambda child, x, _y, path=path: rows.update(
                {path: x[0].numel() // linear_shape(child)[1]}
            )
        )
        for path, child in matrices(module).items()
    ]
    try:
        with torch.no_grad():
            output = module(**arguments)
    finally:
        for handle in handles:
            handle.remove()
    return rows, output


@every_case
def test_a_pass_over_the_prompt_has_the_rows_that_the_rules_say(case: Case):
    module = case.make()
    rows, _ = seen_rows(module, inputs_for(module, BATCH, PROMPT))
    model = read_model(module)
    paths = resolve_modules(module, [linear.tensor for linear in model.linears])
    expected = {
        paths[linear.tensor]: linear.m(BATCH, PROMPT)
        for linear in model.linears
        if linear.rows != "experts"
    }
    assert rows == expected


GENERATING = {
    name: case
    for name, case in CASES.items()
    if "CausalLM" in case.architecture
    or "ConditionalGeneration" in case.architecture
    or "LMHead" in case.architecture
}


def cached_elements(cache: object) -> int:
    """Numbers that the caches of one sequence hold."""
    if hasattr(cache, "self_attention_cache"):
        return cached_elements(cache.self_attention_cache) + cached_elements(
            cache.cross_attention_cache
        )
    tensors = (tensor for layer in cache.layers for tensor in (layer.keys, layer.values))
    return sum(tensor.numel() for tensor in tensors) // BATCH  # fmt: skip


def next_pass(module: nn.Module, arguments: dict, output: object) -> dict:
    """The arguments of the pass over one more token."""
    token = torch.full((BATCH, 1), 7)
    following = {"past_key_values": output.past_key_values, "use_cache": True}
    if "decoder_input_ids" in inspect.signature(module.forward).parameters:
        encoded = (output.encoder_last_hidden_state,)
        return following | {"encoder_outputs": encoded, "decoder_input_ids": token}
    kept = {"logits_to_keep": 1} if "logits_to_keep" in arguments else {}
    return following | kept | {"input_ids": token}


@pytest.mark.parametrize("case", GENERATING.values(), ids=GENERATING)
def test_decoding_has_the_rows_and_the_cache_that_the_model_says(case: Case):
    module = case.make()
    arguments = inputs_for(module, BATCH, PROMPT) | {"use_cache": True}
    _, output = seen_rows(module, arguments)
    rows, output = seen_rows(module, next_pass(module, arguments, output))
    model = read_model(module)
    paths = resolve_modules(module, [linear.tensor for linear in model.linears])
    expected = {
        paths[linear.tensor]: m
        for linear in model.linears
        if linear.rows != "experts" and (m := linear.m(BATCH, 1, past=PROMPT))
    }
    cached = cached_elements(output.past_key_values)
    # Of a window of 4 transformers keeps 3: the fourth is the next token itself.
    window = sum(one.elements_per_token for one in model.kv_windows)
    predicted = model.kv_elements(PROMPT, 1) - window
    if case.latent and expands_before_caching(module):
        heads, width = model.attention_heads, 12 + 8 + 10
        predicted = model.layers * heads * width * (PROMPT + 1)
        expected |= {path: BATCH for path in expected if path.endswith("kv_b_proj")}
    assert (rows, cached) == (expected, predicted)


EXPERT_CASES = [name for name, case in CASES.items() if any("experts" in key for key in case.sizes)]


@pytest.mark.parametrize("name", EXPERT_CASES)
@pytest.mark.parametrize("tokens", [1, PROMPT])
def test_the_rows_of_all_experts_are_those_that_the_rule_shares_out(name, tokens):
    module = CASES[name].make()
    model = read_model(module)
    tensors = [linear.tensor for linear in model.linears]
    with unfolded(module, tensors) as made:
        rows = rows_of_slots(module, made, inputs_for(module, BATCH, tokens))
    experts = [linear for linear in model.linears if linear.rows == "experts"]
    assert experts
    for linear in experts:
        seen = rows[linear.tensor]
        assert len(seen) == linear.count
        assert sum(seen) == BATCH * tokens * linear.top_k
        assert linear.m(BATCH, tokens) == -(-sum(seen) // linear.count)


def rows_of_slots(module, made, arguments) -> dict[str, list[int]]:
    """Tensor's name → the rows that each of its linears saw in a forward pass."""
    rows = {tensor: [0] * len(slots) for tensor, slots in made.slots.items()}

    def count(tensor, number, linear, x):
        rows[tensor][number] += x.numel() // linear.in_features

    handles = [
        slot.linear.register_forward_hook(
            lambda linear, x, _y, at=(tensor, number): count(*at, linear, x[0])
        )
        for tensor, slots in made.slots.items()
        for number, slot in enumerate(slots)
    ]
    try:
        with torch.no_grad():
            module(**arguments)
    finally:
        for handle in handles:
            handle.remove()
    return rows


@pytest.mark.parametrize("batch", [1, 2, 6, 40])
def test_as_many_experts_are_called_as_tokens_that_choose_evenly_go_to(batch):
    """On average over many draws, through the layer that a plan puts in the place of the experts."""
    case = CASES["qwen2_moe"]
    sizes = dict(case.sizes) | {"num_experts": 16, "num_hidden_layers": 1}
    module = Case(case.model_type, case.architecture, sizes).make()
    model = read_model(module)
    (down,) = (one for one in model.linears if one.rows == "experts" and one.kind == "down")
    generator = torch.Generator().manual_seed(batch)
    draws, called = 200, []
    with unfolded(module, [linear.tensor for linear in model.linears]) as made, torch.no_grad():
        (experts,) = (child for child in module.modules() if isinstance(child, Experts))
        for slot in made.slots[down.tensor]:
            slot.linear.register_forward_hook(lambda linear, _x, _y: called.append(linear))
        for _ in range(draws):
            chances = torch.rand(batch, down.count, generator=generator)
            index = chances.topk(down.top_k).indices
            experts(torch.randn(batch, model.hidden_size), index, torch.ones(batch, down.top_k))
    assert abs(len(called) / draws - down.calls(batch, 1)) < 0.5 + 0.25
