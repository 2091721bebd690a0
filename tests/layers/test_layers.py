"""The planned layers: what goes in, what comes out, what is saved, what torch can do with them."""

import copy
import io

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import ALGORITHMS, SCHEMES
from qprobe.errors import PlanMismatchError
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.registry import choose_algorithm, kernels_for
from qprobe.layers import layers_by_scheme, make_layer
from qprobe.layers._linear import PlannedLinear
from qprobe.layers.channel_linear import ChannelLinear
from qprobe.layers.float_linear import FloatLinear


def every(*kernels):
    """The kernels one after another, the first up to 4 rows."""
    if len(kernels) == 1:
        return (KernelRange(kernel=kernels[0], m_min=1, m_max=None),)
    return (
        KernelRange(kernel=kernels[0], m_min=1, m_max=4),
        KernelRange(kernel=kernels[1], m_min=5, m_max=None),
    )


def can_compute(kernel, scheme):
    algorithm = choose_algorithm(SCHEMES[scheme], kernel)
    spec = LayerSpec(scheme, 33, 100, torch.float32, ALGORITHMS[algorithm], "cpu")
    return not kernel.objection(spec)


CASES = [
    pytest.param(scheme, kernel, id=f"{scheme}-{kernel.id}")
    for kernel in kernels_for("cpu")
    for scheme in sorted(kernel.schemes)
    if can_compute(kernel, scheme) and (kernel.id, scheme) != ("reference", "NONE")
]


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Linear(100, 33).requires_grad_(False).eval()


@pytest.fixture
def x():
    return torch.randn(5, 7, 100, generator=torch.Generator().manual_seed(1)) * 3


def make(linear, scheme, kernel, dtype=torch.float32):
    algorithm = choose_algorithm(SCHEMES[scheme], kernel)
    return make_layer(linear, SCHEMES[scheme], algorithm, every(kernel.id), dtype)


@pytest.mark.parametrize(("scheme", "kernel"), CASES)
class TestEveryLayer:
    def test_is_a_linear_and_close_to_the_one_it_replaces(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        y, exact = layer(x), linear(x)
        assert isinstance(layer, nn.Linear)
        assert (layer.in_features, layer.out_features) == (100, 33)
        assert y.shape == exact.shape
        assert float((y - exact).norm() / exact.norm()) < 0.02
        assert not layer.training

    def test_the_replaced_linear_is_untouched(self, linear, scheme, kernel):
        before = linear.weight.clone()
        make(linear, scheme, kernel)
        assert torch.equal(linear.weight, before)

    def test_state_dict_is_canonical_and_survives_loading(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        state = layer.state_dict()
        names = (
            {"weight", "weight_scale", "bias"}
            if SCHEMES[scheme].is_quantized
            else {"weight", "bias"}
        )
        assert set(state) == names
        other = make(nn.Linear(100, 33).requires_grad_(False), scheme, kernel)
        other.load_state_dict(state)
        assert torch.equal(other(x), layer(x))
        for name, tensor in other.state_dict().items():
            assert torch.equal(tensor, state[name])

    def test_torch_save_with_weights_only(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        buffer = io.BytesIO()
        torch.save(layer.state_dict(), buffer)
        buffer.seek(0)
        other = make(nn.Linear(100, 33).requires_grad_(False), scheme, kernel)
        other.load_state_dict(torch.load(buffer, weights_only=True))
        assert torch.equal(other(x), layer(x))

    def test_safetensors(self, linear, x, scheme, kernel, tmp_path):
        model = nn.Sequential(make(linear, scheme, kernel))
        save_model(model, str(tmp_path / "model.safetensors"))
        other = nn.Sequential(make(nn.Linear(100, 33).requires_grad_(False), scheme, kernel))
        load_model(other, str(tmp_path / "model.safetensors"))
        assert torch.equal(other(x), model(x))

    def test_loading_what_does_not_fit_says_so_and_changes_nothing(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        before = layer(x)
        state = layer.state_dict()
        with pytest.raises(RuntimeError, match="weight is torch"):
            layer.load_state_dict(state | {"weight": torch.zeros(2, 2)})
        with pytest.raises(RuntimeError, match=r"Missing key.*weight"):
            layer.load_state_dict({"bias": state["bias"]})
        with pytest.raises(RuntimeError, match=r"Unexpected key.*other"):
            layer.load_state_dict(state | {"other": torch.zeros(1)})
        assert torch.equal(layer(x), before)

    def test_deepcopy_and_pickle(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        buffer = io.BytesIO()
        torch.save(layer, buffer)
        buffer.seek(0)
        for other in (copy.deepcopy(layer), torch.load(buffer, weights_only=False)):
            assert torch.equal(other(x), layer(x))
            assert other.stored_bytes() == layer.stored_bytes()

    def test_compiles_into_one_graph(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            assert torch.equal(compiled(x), layer(x))

    def test_exports_with_canonical_weights_and_runs_elsewhere(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        batch = torch.export.Dim("batch", min=2, max=64)
        program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        buffer.seek(0)
        y = torch.export.load(buffer).module()(x[:3])
        exact = nn.functional.linear(x[:3], layer.dequantize(), layer.bias)
        assert float((y - exact).norm() / exact.norm()) < (0.02 if scheme == "BF16" else 1e-5)

    def test_gradients_reach_the_input_and_the_bias(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        layer.bias.requires_grad_(True)
        x = x.clone().requires_grad_(True)
        upstream = torch.randn(5, 7, 33, generator=torch.Generator().manual_seed(2))
        layer(x).backward(upstream)
        expected = upstream @ layer.dequantize(torch.float32)
        assert torch.allclose(x.grad, expected, rtol=1e-4, atol=1e-4)
        assert torch.allclose(layer.bias.grad, upstream.sum((0, 1)), rtol=1e-4, atol=1e-4)

    def test_moving_to_meta_and_back_and_loading_with_assign(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        state, y = layer.state_dict(), layer(x)
        layer.to("meta")
        assert layer.weight.is_meta
        layer.load_state_dict(state, assign=True)
        assert torch.equal(layer(x), y)

    def test_casting_keeps_codes_and_scales(self, linear, x, scheme, kernel, caplog):
        layer = make(linear, scheme, kernel)
        exact = layer(x)
        before = layer.state_dict()
        layer.to(torch.bfloat16)
        after = layer.state_dict()
        if SCHEMES[scheme].is_quantized:
            assert torch.equal(after["weight"], before["weight"])
            assert torch.equal(after["weight_scale"], before["weight_scale"])
        assert after["bias"].dtype == torch.bfloat16
        y = layer(x.bfloat16())
        assert y.dtype == torch.bfloat16
        assert float((y.float() - exact).norm() / exact.norm()) < 0.02

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_activations_of_another_type_come_back_in_it(self, linear, x, scheme, kernel, dtype):
        y = make(linear, scheme, kernel)(x.to(dtype))
        assert y.dtype == dtype
        assert float((y.float() - linear(x)).norm() / linear(x).norm()) < 0.02

    def test_awkward_activations(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        assert layer(x[:0]).shape == (0, 7, 33)
        assert layer(x[0, 0]).shape == (33,)
        strided = x.transpose(0, 1)
        for view in (strided, x[:1].expand(3, 7, 100)):
            y, same = layer(view), layer(view.contiguous())
            assert float((y - same).norm() / same.norm()) < (0.01 if scheme == "BF16" else 1e-6)
        with pytest.raises(ValueError, match="x has 99 features, the layer takes 100"):
            layer(x[..., :99])
        with pytest.raises(TypeError, match="floating-point"):
            layer(torch.ones(2, 100, dtype=torch.int64))

    def test_nan_in_one_row_stays_in_that_row(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        x = x[0].clone()
        x[2, 3] = float("nan")
        finite = layer(x).isfinite().all(-1)
        assert finite.tolist() == [True, True, False, True, True, True, True]

    def test_the_packing_holds_no_second_copy(self, linear, scheme, kernel):
        layer = make(linear, scheme, kernel)
        exact = SCHEMES[scheme].weight_bytes(33, 100, "float32") + 33 * 4
        assert exact <= layer.stored_bytes() <= exact + 16

    def test_inference_mode(self, linear, x, scheme, kernel):
        layer = make(linear, scheme, kernel)
        with torch.inference_mode():
            assert torch.equal(layer(x), layer(x.clone()))


def test_every_scheme_has_one_layer():
    assert layers_by_scheme() == {
        "W8A8": ChannelLinear,
        "W8A16": ChannelLinear,
        "NONE": FloatLinear,
        "BF16": FloatLinear,
    }


def test_an_unquantized_layer_of_the_reference_stays_a_plain_linear(linear):
    assert make_layer(linear, SCHEMES["NONE"], "none", every("reference"), torch.float32) is linear
    cast = make_layer(linear, SCHEMES["BF16"], "none", every("reference"), torch.bfloat16)
    assert type(cast) is nn.Linear
    assert cast.weight.dtype == torch.bfloat16
    assert linear.weight.dtype == torch.float32


def test_the_kernel_follows_the_number_of_rows(linear, monkeypatch):
    layer = make_layer(linear, SCHEMES["W8A16"], "rtn", every("reference"), torch.float32)
    reference = layer._dispatch[0][1]
    layer._dispatch = ((4, "few"), (9, "some"), (None, "many"))
    rows = {1: "few", 4: "few", 5: "some", 9: "some", 10: "many", 500: "many"}
    assert {m: layer._select(torch.zeros(m, 100)) for m in rows} == rows
    assert layer._select(torch.zeros(2, 5, 100)) == "many"
    assert reference.id == "reference"


def test_kernels_of_two_packings_are_refused(linear):
    kernels = every("cpu.onednn_qlinear_u8", "reference")
    with pytest.raises(PlanMismatchError, match="do not share one packing"):
        make_layer(linear, SCHEMES["W8A8"], "rtn_reduce_range", kernels, torch.float32)


def test_a_kernel_that_cannot_compute_the_layer_is_refused(linear):
    with pytest.raises(PlanMismatchError, match="does not compute W8A16"):
        make_layer(linear, SCHEMES["W8A16"], "rtn", every("cpu.onednn_qlinear_u8"), torch.float32)


def test_layers_are_planned_linears():
    assert all(issubclass(layer, PlannedLinear) for layer in layers_by_scheme().values())
