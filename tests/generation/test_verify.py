"""A plan that generates, verified: the whole request is timed, and the receipt tells the divergence."""

import pytest
import torch

from qprobe.apply import _verify as verification
from qprobe.apply import verify_plan
from qprobe.checkpoint import read_model
from qprobe.checkpoint.text import read_text, token_batch, tokenize
from qprobe.documents.objective import Objective
from qprobe.errors import UnavailableError
from tests.checkpoint.families import CASES
from tests.checkpoints import tiny_bert
from tests.generation.plans import uniform_plan
from tests.generation.quality import log_probabilities, measure


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(verification, "BUDGET_S", 0.1)
    monkeypatch.setattr(verification, "MIN_SAMPLES", 3)


@pytest.fixture
def requests(monkeypatch):
    """The requests that were timed."""
    seen = []
    exact = verification.time_request

    def listen(module, ids, generate):
        seen.append((*ids.shape, generate))
        return exact(module, ids, generate)

    monkeypatch.setattr(verification, "time_request", listen)
    return seen


def test_the_whole_request_is_timed_and_the_divergence_is_told(path, model, requests):
    objective = Objective(batch=2, prompt=16, generate=5)
    receipt = verify_plan(path, uniform_plan(model, "W8A16", objective=objective))
    assert set(requests) == {(2, 16, 5)}
    assert (receipt.batch, receipt.prompt, receipt.generate) == (2, 16, 5)
    assert receipt.metric == "logits"
    by_name = {variant.name: variant for variant in receipt.variants}
    assert by_name["NONE"].kl_divergence_nats == 0
    assert 0 < by_name["plan"].kl_divergence_nats == receipt.kl_divergence_nats < 5e-3
    assert all(variant.median_s > 0 for variant in receipt.variants)


def test_the_divergence_is_that_of_the_model_on_the_text(path, model, module):
    from qprobe.apply import apply_plan

    plan = uniform_plan(model, "W8A16")
    receipt = verify_plan(path, plan)
    ids = token_batch(
        tokenize(read_text(None, held_out=True), path, model.vocab_size),
        verification.SEQUENCES,
        verification.TOKENS,
    )
    exact = log_probabilities(module, ids)
    found = measure(apply_plan(plan, module), exact, ids)
    assert receipt.kl_divergence_nats == pytest.approx(found.divergence, rel=1e-6)


def test_an_embedding_has_no_divergence(tmp_path):
    directory = tiny_bert(tmp_path)
    plan = uniform_plan(read_model(directory), "W8A16", objective=Objective(batch=1, prompt=4))
    receipt = verify_plan(directory, plan)
    assert receipt.metric == "last_hidden_state"
    assert receipt.kl_divergence_nats is None


def test_a_divergence_is_none_only_without_logits():
    from qprobe.apply._difference import compare_outputs

    exact, y = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    assert compare_outputs(exact, y, "last_hidden_state").kl_divergence_nats is None
    assert compare_outputs(exact, exact, "logits").kl_divergence_nats == 0
    shifted = compare_outputs(exact, exact + 7, "logits")
    assert shifted.kl_divergence_nats == pytest.approx(0, abs=1e-12)
    assert shifted.relative_error > 1
    found = compare_outputs(exact, y, "logits")
    p, q = exact.double().softmax(-1), y.double().softmax(-1)
    expected = float((p * (p / q).log()).sum(-1).mean())
    assert found.kl_divergence_nats == pytest.approx(expected)
    assert found.relative_error == pytest.approx(float((exact - y).norm() / exact.norm()), rel=1e-5)


@pytest.mark.parametrize("name", ["t5", "vit", "clip"])
def test_what_takes_more_than_text_is_refused_in_words(name, tmp_path):
    directory = CASES[name].save(tmp_path)
    plan = uniform_plan(read_model(directory), "W8A16")
    with pytest.raises(UnavailableError, match="takes more than token ids"):
        verify_plan(directory, plan)
