"""A plan applied on other hardware than it was made for."""

import copy
import logging

import pytest
import torch

from qprobe.apply import apply_plan, receipt_of
from qprobe.apply._fit import fit_kernels
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import PlanMismatchError
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cpp import _library
from qprobe.kernels.cpp._library import Library
from qprobe.kernels.device import fingerprint
from qprobe.kernels.registry import get_kernel, kernels_for
from tests.apply.outputs import output, planned
from tests.plans import decide, plan_for, section


class _Saturates:
    outcome = "saturates"
    words = ""


class TestAnotherDevice:
    def elsewhere(self):
        return fingerprint("cpu").model_copy(
            update={"slug": "cpu-other", "features": ("amx_int8",)}
        )

    def test_error_names_the_fields_and_the_command(self, module, bert):
        plan = plan_for(bert, decide(), here=self.elsewhere())
        with pytest.raises(PlanMismatchError, match=r"features: .*amx_int8") as caught:
            apply_plan(plan, module, on_mismatch="error")
        assert "qprobe plan --model" in caught.value.hint
        assert planned(module) == set()

    def test_the_same_device_is_no_mismatch(self, module, bert):
        apply_plan(plan_for(bert, decide()), module, on_mismatch="error")
        assert receipt_of(module).changes == ()

    def test_adapt_warns_once_and_records_it(self, module, bert, caplog):
        plan = plan_for(bert, decide(), here=self.elsewhere())
        with caplog.at_level(logging.WARNING, logger="qprobe"):
            apply_plan(plan, module)
        assert len(caplog.records) == 1
        assert "cpu-other" in caplog.text
        assert any("features" in change for change in receipt_of(module).changes)

    def test_kernels_that_cannot_run_here_are_replaced_and_named(self, module, bert, monkeypatch):
        from qprobe.kernels.torch_cpu import _onednn

        monkeypatch.setattr(_onednn, "int8_self_test", lambda: _Saturates)
        plan = plan_for(bert, decide("W8A8", "cpu.onednn_qlinear_u8"), here=self.elsewhere())
        exact = output(copy.deepcopy(module))
        apply_plan(plan, module)
        receipt = receipt_of(module)
        (kernel,) = {kernel for layer in receipt.layers for kernel in layer.kernels}
        assert kernel != "cpu.onednn_qlinear_u8"
        assert any(f"cpu.onednn_qlinear_u8 → {kernel}: " in words for words in receipt.changes)
        assert float((output(module) - exact).norm() / exact.norm()) < 0.05

    def test_error_refuses_kernels_that_cannot_run_on_the_device_of_the_plan(
        self, module, bert, monkeypatch
    ):
        from qprobe.kernels.torch_cpu import _onednn

        monkeypatch.setattr(_onednn, "int8_self_test", lambda: _Saturates)
        plan = plan_for(bert, decide("W8A8", "cpu.onednn_qlinear_u8"))
        with pytest.raises(PlanMismatchError, match=r"cpu.onednn_qlinear_u8 → cpu\.") as caught:
            apply_plan(plan, module, on_mismatch="error")
        assert "qprobe plan --model" in caught.value.hint
        assert planned(module) == set()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    @pytest.mark.parametrize("name", [name for name, s in SCHEMES.items() if s.is_quantized])
    def test_a_kernel_for_few_rows_does_not_stand_in_for_all(self, name, dtype):
        fit = fit_kernels(decide(name, "cpu.onednn_linear"), 64, 128, dtype, "cpu")
        *few, last = (get_kernel(item.kernel) for item in fit.kernels)
        assert last.max_rows is None
        assert fit.kernels[-1].m_max is None
        assert all(kernel.max_rows and kernel.packing == last.packing for kernel in few)
        assert [item.m_max for item in fit.kernels[:-1]] == [k.max_rows for k in few]
        assert fit.change.startswith("cpu.onednn_linear → ")

    @pytest.mark.parametrize("compiled", [True, False])
    @pytest.mark.parametrize(
        "name", [name for name, s in SCHEMES.items() if s.input_activations is not None]
    )
    def test_codes_are_multiplied_wherever_a_kernel_can(self, name, compiled, monkeypatch):
        if not compiled:
            absent = Library(None, "no C++ compiler")
            monkeypatch.setattr(_library, "load_library", lambda: absent)
        group = decide(name, "cpu.onednn_linear")
        fit = fit_kernels(group, 64, 128, torch.float32, "cpu")
        code = SCHEMES[name].algorithms[group.algorithm]
        spec = LayerSpec(name, 64, 128, torch.float32, code, "cpu")
        possible = [kernel for kernel in kernels_for("cpu") if not kernel.objection(spec)]
        assert compiled or not any(kernel.packing == "strips" for kernel in possible)
        can = any(k.input != "float" and k.max_rows is None for k in possible)
        assert (get_kernel(fit.kernels[-1].kernel).input != "float") == can

    def test_the_plans_own_section_for_this_device_is_taken(self, module, bert):
        plan = plan_for(bert, decide("W8A8"), here=self.elsewhere())
        here = fingerprint("cpu")
        groups = {name: decide("W8A16") for name in bert.groups()}
        both = plan.model_copy(
            update={"targets": plan.targets | {here.slug: section(groups, here)}}
        )
        apply_plan(both, module)
        assert {layer.scheme for layer in receipt_of(module).layers} == {"W8A16"}
        assert receipt_of(module).changes == ()
