"""A plan applied to a live model."""

import copy
import gc
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from qprobe.apply import _apply, apply_plan, receipt_of
from qprobe.apply._fit import fit_kernels
from qprobe.checkpoint import read_model
from qprobe.checkpoint.forward import run_forward
from qprobe.checkpoint.loading import load_module
from qprobe.documents.plan import Plan
from qprobe.errors import InputError, PlanMismatchError
from qprobe.kernels.registry import get_kernel
from qprobe.layers import _sharing
from qprobe.layers._linear import PlannedLinear
from tests.apply.outputs import IDS, output, planned, snapshot
from tests.plans import decide, plan_for


def test_every_planned_linear_is_replaced_and_the_output_stays_close(module, bert):
    exact = output(module)
    result = apply_plan(plan_for(bert, decide("W8A8")), module)
    assert result is module
    assert len(planned(module)) == len(bert.linears)
    error = float((output(module) - exact).norm() / exact.norm())
    assert 0 < error < 0.05


def test_the_receipt_tells_what_was_done(module, bert):
    plan = plan_for(bert, decide("W8A16"), {"pooler.dense.weight": decide("NONE")})
    receipt = receipt_of(apply_plan(plan, module))
    assert receipt.plan_hash == plan.content_hash()
    assert receipt.changes == ()
    assert [layer.tensor for layer in receipt.layers] == [item.tensor for item in bert.linears]
    by_tensor = {layer.tensor: layer for layer in receipt.layers}
    assert by_tensor["pooler.dense.weight"].weight_error == 0
    quantized = [layer for layer in receipt.layers if layer.scheme == "W8A16"]
    assert all(0 < layer.weight_error < 0.01 for layer in quantized)
    assert all(layer.weight_bytes_after < layer.weight_bytes_before for layer in quantized)
    parameters = sum(p.numel() * p.element_size() for p in module.parameters())
    assert receipt.weight_bytes_before > receipt.weight_bytes_after > parameters - 1


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of mappings")
def test_an_applied_model_lets_go_of_the_checkpoint_file(module, bert, bert_path):
    mapped = str(bert_path / "model.safetensors")
    assert mapped in Path("/proc/self/maps").read_text()
    apply_plan(plan_for(bert, decide("W8A16"), {"pooler.dense.weight": decide("NONE")}), module)
    gc.collect()
    assert mapped not in Path("/proc/self/maps").read_text()


def test_a_plan_survives_its_file(module, bert):
    plan = plan_for(bert, decide("W8A8"))
    other = copy.deepcopy(module)
    apply_plan(plan, module)
    apply_plan(Plan.model_validate_json(plan.model_dump_json()), other)
    assert torch.equal(output(module), output(other))


def test_an_applied_model_can_be_copied_saved_and_loaded(module, bert):
    plan = plan_for(bert, decide("W8A8"))
    fresh = copy.deepcopy(module)
    apply_plan(plan, module)
    clone = copy.deepcopy(module)
    assert torch.equal(output(clone), output(module))
    assert receipt_of(clone) == receipt_of(module)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.add_(0.1)
    apply_plan(plan, fresh)
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(output(fresh), output(module))


def test_applying_twice_is_refused(module, bert):
    plan = plan_for(bert, decide("W8A8"))
    apply_plan(plan, module)
    before = output(module)
    with pytest.raises(PlanMismatchError, match="applied already"):
        apply_plan(plan, module)
    assert torch.equal(output(module), before)


def test_a_module_without_a_plan_has_no_receipt(module):
    with pytest.raises(InputError, match="no plan applied"):
        receipt_of(module)


class TestChecksPrecedeTheFirstChange:
    def refuse(self, plan, module, error, match, **arguments):
        before = snapshot(module)
        with pytest.raises(error, match=match):
            apply_plan(plan, module, **arguments)
        assert planned(module) == set()
        assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())

    def test_tensor_that_is_not_there(self, module, bert):
        last = bert.linears[-1].model_copy(update={"tensor": "elsewhere.weight"})
        model = bert.model_copy(update={"linears": (*bert.linears[:-1], last)})
        self.refuse(plan_for(model, decide()), module, PlanMismatchError, "elsewhere")

    def test_shape_that_differs(self, module, bert):
        last = bert.linears[-1].model_copy(update={"n": 65})
        model = bert.model_copy(update={"linears": (*bert.linears[:-1], last)})
        self.refuse(plan_for(model, decide()), module, PlanMismatchError, "64 × 64 here, 65 × 64")

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_weights_that_are_not_finite(self, module, bert, bad):
        module.encoder.layer[1].output.dense.weight.data[3, 4] = bad
        with pytest.raises(InputError, match="NaN or infinity"):
            apply_plan(plan_for(bert, decide()), module)
        assert planned(module) == set()

    def test_unknown_kernel(self, module, bert):
        plan = plan_for(bert, decide("W8A8", "cuda.future"))
        self.refuse(plan, module, InputError, "no kernel 'cuda.future'")

    def test_unknown_device(self, module, bert):
        plan = plan_for(bert, decide())
        self.refuse(plan, module, InputError, "tpu", device="tpu")

    def test_unknown_answer_to_a_mismatch(self, module, bert):
        self.refuse(plan_for(bert, decide()), module, InputError, "shrug", on_mismatch="shrug")

    def test_module_on_meta(self, module, bert):
        with pytest.raises(InputError, match="meta"):
            apply_plan(plan_for(bert, decide()), module.to("meta"))


def test_a_model_over_two_devices_is_not_moved_to_the_first_unasked():
    spread = SimpleNamespace(
        parameters=lambda: (SimpleNamespace(device=torch.device("cuda", i)) for i in range(2))
    )
    with pytest.raises(InputError, match="spread over cuda:0, cuda:1") as caught:
        _apply._device_of(spread)
    assert "device='cuda:0'" in caught.value.hint


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_layers_that_read_the_same_tensor_quantize_it_once(module, bert, monkeypatch, mode):
    """Query, key and value one, and one each the other three layers of a block; then the pooler."""
    plan = plan_for(bert, by_codes())  # Kernels are tried for it.
    calls = []
    exact = _sharing.quantize_tokens
    monkeypatch.setattr(
        _sharing, "quantize_tokens", lambda x, form: calls.append(form) or exact(x, form)
    )
    apply_plan(plan, module)
    with mode():
        first = run_forward(module, IDS)
        assert len(calls) == 4 * bert.layers + 1
        assert torch.equal(run_forward(module, IDS), first)
        assert len(calls) == 2 * (4 * bert.layers + 1)
        other = run_forward(module, IDS.flip(0))
    assert torch.allclose(other.flip(0), first, rtol=1e-4, atol=1e-4)


def test_a_copy_of_an_applied_model_computes_the_same_under_inference_mode(module, bert):
    apply_plan(plan_for(bert, by_codes()), module)
    clone = copy.deepcopy(module)
    given = [torch.randn(2, 12, bert.hidden_size) for _ in range(3)]
    with torch.no_grad():
        exact = [module.encoder(x).last_hidden_state for x in given]
    with torch.inference_mode():
        x = torch.empty_like(given[0])
        for values, y in zip(given, exact, strict=True):
            x.copy_(values)
            assert torch.equal(clone.encoder(x).last_hidden_state, y)
            assert torch.equal(module.encoder(x).last_hidden_state, y)


def by_codes():
    """W8A8 through a kernel that multiplies codes, where there is one here."""
    fit = fit_kernels(decide("W8A8", "cpu.onednn_linear"), 64, 128, torch.float32, "cpu")
    if get_kernel(fit.kernels[-1].kernel).input == "float":
        pytest.skip("no kernel here multiplies 8-bit codes")
    return decide("W8A8").model_copy(update={"kernels": fit.kernels})


def test_compute_dtype_casts_the_model_but_not_what_was_quantized_first(module, bert):
    exact_scales = {
        name: layer.weight.abs().amax(1, keepdim=True) / 127
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    }
    apply_plan(plan_for(bert, decide("W8A16"), compute_dtype="bfloat16"), module)
    assert module.embeddings.word_embeddings.weight.dtype == torch.bfloat16
    for name, layer in module.named_modules():
        if isinstance(layer, PlannedLinear):
            assert torch.equal(layer.canonical()["weight_scale"], exact_scales[name])
    assert output(module).dtype == torch.bfloat16


def test_a_decoder_keeps_its_rotary_frequencies_and_generates(llama_path):
    module = load_module(llama_path)
    model = read_model(llama_path)
    head = {"lm_head.weight": decide("NONE")}
    frequencies = module.model.rotary_emb.inv_freq.clone()
    apply_plan(plan_for(model, decide("W8A8"), head, compute_dtype="bfloat16"), module)
    assert torch.equal(module.model.rotary_emb.inv_freq, frequencies)
    made = module.generate(IDS[:, :4], max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert made.shape == (2, 7)


@pytest.mark.parametrize("on_mismatch", ["adapt", "error"])
def test_a_plan_of_the_bare_encoder_fits_the_model_under_a_head(bert, tmp_path, on_mismatch):
    from tests.checkpoints import tiny_bert

    module = load_module(tiny_bert(tmp_path, "BertForSequenceClassification"))
    apply_plan(plan_for(bert, decide("W8A8")), module, on_mismatch=on_mismatch)
    (change,) = receipt_of(module).changes
    assert "BertModel of 13 linears" in change
    assert "BertForSequenceClassification of 14" in change
    assert all(name.startswith("bert.") for name in planned(module))


def test_a_plain_module_is_planned_by_its_own_names():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 8)).requires_grad_(False)
    x = torch.randn(3, 16)
    exact = module(x)
    apply_plan(plan_for(read_model(module), decide("W8A8")), module)
    assert float((module(x) - exact).norm() / exact.norm()) < 0.03
