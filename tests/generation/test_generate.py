"""An applied model writes text: through transformers' `generate` with either cache, and by hand."""

import pytest
import torch

from qprobe.apply import apply_plan, receipt_of
from qprobe.checkpoint.loading import load_module
from qprobe.layers._linear import PlannedLinear
from tests.generation.plans import (
    EVERY_CROSSING,
    EVERY_WAY,
    crossing_plan,
    plan_of,
    uniform_plan,
)

PROMPT, NEW = 48, 32
LEAST_DOUBT = {torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.03}
"""Nats by which a token may be less likely than the likeliest: sums in another order round otherwise."""


def generate(module, prompt, **cache):
    """The prompt and the new tokens, greedily: (batch, PROMPT + NEW)."""
    return module.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=NEW,
        do_sample=False,
        pad_token_id=0,
        **cache,
    )


def write_by_hand(module, ids):
    """The same without a cache: the whole text anew for every token."""
    with torch.no_grad():
        for _ in range(NEW):
            ids = torch.cat([ids, module(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
    return ids


def doubt(module, text):
    """By how many nats a new token of the text is less likely than the likeliest, at most."""
    with torch.no_grad():
        found = module(input_ids=text).logits.double().log_softmax(-1)[:, PROMPT - 1 : -1]
    chosen = found.gather(-1, text[:, PROMPT:].unsqueeze(-1)).squeeze(-1)
    return float((found.amax(-1) - chosen).max())


@pytest.fixture
def prompt(unseen):
    return unseen[:3, :PROMPT]


@EVERY_WAY
def test_either_cache_gives_the_likeliest_text(module, model, prompt, way):
    apply_plan(plan_of(model, way), module)
    assert receipt_of(module).changes == ()
    dynamic, static = (
        generate(module, prompt, **cache) for cache in ({}, {"cache_implementation": "static"})
    )
    assert doubt(module, dynamic) <= LEAST_DOUBT[way.dtype]
    assert doubt(module, static) <= LEAST_DOUBT[way.dtype]
    assert way.dtype != torch.float32 or torch.equal(static, dynamic)


@EVERY_CROSSING
def test_prefill_and_decode_by_different_kernels(module, model, prompt, crossing, monkeypatch):
    batch, selected = len(prompt), {}
    exact = PlannedLinear._select

    def recording(layer, x):
        kernel = exact(layer, x)
        selected.setdefault(kernel.id, set()).add(x.numel() // x.shape[-1])
        return kernel

    monkeypatch.setattr(PlannedLinear, "_select", recording)
    apply_plan(crossing_plan(model, crossing, rows=batch), module)
    assert receipt_of(module).changes == ()
    dynamic, static = (
        generate(module, prompt, **cache) for cache in ({}, {"cache_implementation": "static"})
    )
    # The head computes only the last token, in the prefill too.
    assert selected == {crossing.few.id: {batch}, crossing.many.id: {batch * PROMPT}}
    assert doubt(module, dynamic) <= LEAST_DOUBT[crossing.dtype]
    assert doubt(module, static) <= LEAST_DOUBT[crossing.dtype]


@pytest.mark.parametrize("scheme", ["NONE", "W8A16", "W4A16"])
def test_a_loop_without_a_cache_gives_the_same_text(module, model, prompt, scheme):
    apply_plan(uniform_plan(model, scheme), module)
    assert torch.equal(write_by_hand(module, prompt), generate(module, prompt))


def test_nothing_quantized_gives_the_text_of_the_model_as_stored(module, model, prompt):
    exact = generate(module, prompt)
    apply_plan(uniform_plan(model, "NONE"), module)
    assert torch.equal(generate(module, prompt), exact)


def test_eight_bit_weights_write_nearly_always_the_same(module, model, path, unseen):
    """Token by token, for both go on from one that differs; and that was as likely."""
    exact = load_module(path)
    apply_plan(uniform_plan(model, "W8A16"), module)
    text = generate(module, unseen[:, :PROMPT])
    with torch.no_grad():
        wanted = exact(input_ids=text).logits[:, PROMPT - 1 : -1].argmax(-1)
    same = float((text[:, PROMPT:] == wanted).float().mean())
    print(f"same tokens {same:.3f}, the others less likely by {doubt(exact, text):.3f}")
    assert same > 0.98
    assert doubt(exact, text) < 0.1


def test_a_saved_and_reloaded_state_writes_the_same(module, model, path, prompt):
    plan = uniform_plan(model, "W8A16")
    text = generate(apply_plan(plan, module), prompt)
    fresh = apply_plan(plan, load_module(path))
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(generate(fresh, prompt), text)
