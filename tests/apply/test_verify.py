"""A plan verified: error, time and bytes beside every alternative."""

import pytest
import torch

from qprobe.apply import _verify as verification
from qprobe.apply import verify_plan
from qprobe.documents.machine import Fingerprint
from qprobe.documents.objective import ErrorLimit, Objective
from qprobe.errors import InputError, PlanMismatchError
from tests.plans import decide, plan_for, predicted


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(verification, "BUDGET_S", 0.1)
    monkeypatch.setattr(verification, "MIN_SAMPLES", 3)


def verify(model, plan, **arguments):
    return verify_plan(model, plan, **arguments)


def test_a_receipt_compares_the_plan_with_every_alternative_that_can_run(bert_path, bert):
    receipt = verify(bert_path, plan_for(bert, decide("W8A8")))
    assert receipt.action == "verified"
    assert [variant.name for variant in receipt.variants] == ["plan", "NONE", "W8A8"]
    plan, none, uniform = receipt.variants
    assert (plan.ratio, plan.ratio_low, plan.ratio_high) == (1, 1, 1)
    assert none.error == 0
    assert 0 < plan.error < 0.05
    assert uniform.error == pytest.approx(plan.error)
    assert uniform.weight_bytes == plan.weight_bytes < none.weight_bytes
    assert receipt.noise_floor > 0
    assert receipt.passed
    assert "within the limit of 0.05" in receipt.why


def test_a_checkpoint_is_verified_on_the_card_that_was_planned_for(monkeypatch):
    cards = [Fingerprint(slug=slug, kind="cuda", name=slug, features=(), units=1, memory_bytes=1, software={})
             for slug in ("t4", "h100")]  # fmt: skip
    monkeypatch.setattr(verification, "cuda_count", lambda: 2)
    monkeypatch.setattr(verification, "fingerprint", lambda device: cards[int(device[-1])])
    monkeypatch.setattr(verification, "default_device", lambda: "cuda:0")
    assert [verification._device_for(card) for card in cards] == ["cuda:0", "cuda:1"]
    elsewhere = cards[1].model_copy(update={"slug": "v100", "name": "v100"})
    assert verification._device_for(elsewhere) == "cuda:0"
    assert verification._device_for(elsewhere.model_copy(update={"kind": "cpu"})) == "cpu"


@pytest.mark.parametrize("hard", [True, False], ids=["hard", "soft"])
def test_an_error_above_the_limit_does_not_pass(bert_path, bert, hard):
    objective = Objective(batch=1, prompt=8, error_limit=ErrorLimit(value=1e-6, hard=hard))
    plan = plan_for(bert, decide("W8A8"), objective=objective, predicted=predicted(error=1e-7))
    receipt = verify(bert_path, plan)
    assert receipt.passed is False
    assert "exceeds the limit" in receipt.why


def test_a_soft_limit_that_the_plan_gave_up_does_not_fail(bert_path, bert):
    objective = Objective(batch=1, prompt=8, error_limit=ErrorLimit(value=1e-6))
    plan = plan_for(bert, decide("W8A8"), objective=objective, predicted=predicted(error=0.02))
    receipt = verify(bert_path, plan)
    assert receipt.passed
    assert "memory limit" in receipt.why


def test_a_live_module_is_left_as_it_was(module, bert):
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.train()
    module.encoder.layer[0].eval()
    modes = {name: child.training for name, child in module.named_modules()}
    verify(module, plan_for(bert, decide("W8A8")))
    assert {name: child.training for name, child in module.named_modules()} == modes
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())


def test_another_text_is_another_hash(module, bert):
    plan = plan_for(bert, decide("W8A8"))
    hashes = {verify(module, plan, text=text).data_hash for text in (None, "Some other words.")}
    assert len(hashes) == 2


def test_a_decoder_is_timed_token_by_token(llama_path):
    from qprobe.checkpoint import read_model

    model = read_model(llama_path)
    objective = Objective(batch=2, prompt=6, generate=3)
    others = {"lm_head.weight": decide("NONE")}
    receipt = verify(llama_path, plan_for(model, decide("W8A16"), others, objective=objective))
    assert receipt.metric == "logits"
    assert (receipt.batch, receipt.prompt, receipt.generate) == (2, 6, 3)


def test_an_encoder_generates_nothing(bert_path, bert):
    objective = Objective(batch=1, prompt=8, generate=4)
    with pytest.raises(InputError, match="generates none"):
        verify(bert_path, plan_for(bert, decide("W8A8"), objective=objective))


def test_a_plan_for_another_model_is_refused(llama_path, bert):
    with pytest.raises(PlanMismatchError, match="no linear for"):
        verify(llama_path, plan_for(bert, decide("W8A8")))
