"""The request that is timed is the request that is planned: the same rows through every layer."""

from collections import defaultdict

import pytest
import torch

from qprobe.checkpoint import read_model
from qprobe.checkpoint.loading import load_module
from qprobe.checkpoint.names import resolve_modules
from qprobe.checkpoint.request import time_request
from qprobe.errors import InputError
from tests.checkpoint.families import CASES, expands_before_caching
from tests.checkpoints import tiny_bert, tiny_llama

BATCH, TOKENS = 3, 7


def rows_seen(module, model, generate):
    """Tensor → the rows of x in each call of its layer, in a request of BATCH × TOKENS."""
    seen = defaultdict(list)
    one_each = [item.tensor for item in model.linears if item.rows != "experts"]
    for tensor, path in resolve_modules(module, one_each).items():

        def listen(_module, inputs, tensor=tensor):
            seen[tensor].append(inputs[0].numel() // inputs[0].shape[-1])

        module.get_submodule(path).register_forward_pre_hook(listen)
    ids = torch.arange(BATCH * TOKENS).reshape(BATCH, TOKENS)
    with torch.no_grad():
        time_request(module, ids, generate)
    return seen


def rows_planned(model, generate):
    return {
        item.tensor: [
            item.m(BATCH, TOKENS),
            *(item.m(BATCH, 1, past=TOKENS + index) for index in range(generate)),
        ]
        for item in model.linears
        if item.rows != "experts"
    }


@pytest.mark.parametrize("generate", [0, 1, 4])
def test_a_language_model_sees_the_rows_that_are_planned(module, model, generate):
    assert rows_seen(module, model, generate) == rows_planned(model, generate)
    assert rows_planned(model, generate)["lm_head.weight"] == [BATCH] * (1 + generate)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_family_sees_the_rows_that_are_planned(case):
    module = case.make()
    model = read_model(module)
    if not model.reads_only_text:
        pytest.skip("a request of more than tokens is not timed")
    generate = 3 if model.kv_elements_per_token and module.can_generate() else 0
    planned = rows_planned(model, generate)
    if case.latent and expands_before_caching(module):
        expanding = {
            tensor: [BATCH * TOKENS] + [BATCH] * generate for tensor in planned if "kv_b" in tensor
        }
        assert len(expanding) == model.layers
        planned |= expanding
    assert rows_seen(module, model, generate) == planned


def test_a_tied_head_sees_the_last_token_too(tmp_path):
    module = load_module(tiny_llama(tmp_path, tied=True))
    seen = []
    module.lm_head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape))
    with torch.no_grad():
        time_request(module, torch.ones(2, 5, dtype=torch.int64), 1)
    assert seen == [(2, 1, 64), (2, 1, 64)]


def test_every_pass_extends_the_cache_by_one_token(module):
    lengths = []

    def listen(_module, _inputs, keywords, output):
        lengths.append(
            (keywords["attention_mask"].shape[1], output.past_key_values.get_seq_length())
        )

    module.register_forward_hook(listen, with_kwargs=True)
    with torch.no_grad():
        time_request(module, torch.ones(2, 5, dtype=torch.int64), 3)
    assert lengths == [(n, n) for n in (5, 6, 7, 8)]


def test_the_clock_covers_the_prompt_and_the_generated_tokens_apart(module):
    passes = []
    module.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        prefill, decode = time_request(
            module, torch.ones(1, 5, dtype=torch.int64), 6, clock=lambda: float(len(passes))
        )
    assert (prefill, decode) == (1, 6)


def test_what_generates_nothing_is_refused(tmp_path):
    module = load_module(tiny_bert(tmp_path))
    with pytest.raises(InputError, match="BertModel generates none"):
        time_request(module, torch.ones(1, 2, dtype=torch.int64), 1)
