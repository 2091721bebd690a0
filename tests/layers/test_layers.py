"""The planned layers: what goes in, what comes out, what is saved, what torch can do with them."""

import copy
import io
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import nn

from qprobe.documents.scheme import (
    SCHEMES,
    CastWeights,
    ChannelWeights,
    CodebookWeights,
    GroupWeights,
)
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.registry import choose_algorithm, get_kernel, kernels_for
from qprobe.layers import make_layer
from qprobe.quantize.scheme import canonical_names
from tests.layers.ranges import every

PACKED_ROWS = 16
"""A packing may pad N to a multiple of these."""


@dataclass(frozen=True)
class Case:
    """A scheme by a kernel, at the most awkward shape and the widest type that it takes."""

    scheme: str
    kernel: str
    n: int
    k: int
    dtype: torch.dtype

    @property
    def tolerance(self):
        """Relative error of the layer against the one that it replaces."""
        match SCHEMES[self.scheme].weights:
            case GroupWeights() | CodebookWeights():
                return 0.15
            case ChannelWeights(type="float"):
                return 0.05
            case _:
                return 0.02

    @property
    def rounding(self):
        """Relative error that the type of the activations or of the weight explains."""
        is_cast = isinstance(SCHEMES[self.scheme].weights, CastWeights)
        return 0.02 if is_cast or self.dtype != torch.float32 else 1e-5

    def linear(self, seed=0):
        torch.manual_seed(seed)
        linear = nn.Linear(self.k, self.n).requires_grad_(False).eval()
        return linear.to(self.dtype)

    def make(self, linear, dtype=None):
        kernel = get_kernel(self.kernel)
        algorithm = choose_algorithm(SCHEMES[self.scheme], kernel)
        return make_layer(
            linear, SCHEMES[self.scheme], algorithm, every(kernel.id), dtype or self.dtype
        )


def find_case(scheme, kernel):
    code = SCHEMES[scheme].algorithms[choose_algorithm(SCHEMES[scheme], kernel)]
    for dtype in (torch.float32, torch.bfloat16):
        for n, k in ((33, 100), (33, 128), (48, 128)):
            if not kernel.objection(LayerSpec(scheme, n, k, dtype, code, "cpu")):
                return Case(scheme, kernel.id, n, k, dtype)
    return None


CASES = [
    pytest.param(case, id=f"{scheme}-{kernel.id}")
    for kernel in kernels_for("cpu")
    for scheme in sorted(kernel.schemes)
    if (case := find_case(scheme, kernel)) and (kernel.id, scheme) != ("reference", "NONE")
]


@pytest.fixture
def linear(case):
    return case.linear()


@pytest.fixture
def x(case):
    return (torch.randn(5, 7, case.k, generator=torch.Generator().manual_seed(1)) * 3).to(
        case.dtype
    )


def relative(y, exact):
    return float((y.double() - exact.double()).norm() / exact.double().norm())


@pytest.mark.parametrize("case", CASES)
class TestEveryLayer:
    def test_is_a_linear_and_close_to_the_one_it_replaces(self, linear, x, case):
        layer = case.make(linear)
        y, exact = layer(x), linear(x)
        assert isinstance(layer, nn.Linear)
        assert (layer.in_features, layer.out_features) == (case.k, case.n)
        assert y.shape == exact.shape
        assert relative(y, exact) < case.tolerance
        assert not layer.training

    def test_the_replaced_linear_is_untouched(self, linear, case):
        before = linear.weight.clone()
        case.make(linear)
        assert torch.equal(linear.weight, before)

    def test_state_dict_is_canonical_and_survives_loading(self, linear, x, case):
        layer = case.make(linear)
        state = layer.state_dict()
        assert set(state) == {*canonical_names(SCHEMES[case.scheme]), "bias"}
        other = case.make(case.linear(seed=7))
        other.load_state_dict(state)
        assert torch.equal(other(x), layer(x))
        for name, tensor in other.state_dict().items():
            assert torch.equal(tensor, state[name])

    def test_torch_save_with_weights_only(self, linear, x, case):
        layer = case.make(linear)
        buffer = io.BytesIO()
        torch.save(layer.state_dict(), buffer)
        buffer.seek(0)
        other = case.make(case.linear(seed=7))
        other.load_state_dict(torch.load(buffer, weights_only=True))
        assert torch.equal(other(x), layer(x))

    def test_safetensors(self, linear, x, case, tmp_path):
        model = nn.Sequential(case.make(linear))
        save_model(model, str(tmp_path / "model.safetensors"))
        other = nn.Sequential(case.make(case.linear(seed=7)))
        load_model(other, str(tmp_path / "model.safetensors"))
        assert torch.equal(other(x), model(x))

    def test_loading_what_does_not_fit_says_so_and_changes_nothing(self, linear, x, case):
        layer = case.make(linear)
        before = layer(x)
        state = layer.state_dict()
        name = canonical_names(SCHEMES[case.scheme])[0]
        with pytest.raises(RuntimeError, match=f"{name} is torch"):
            layer.load_state_dict(state | {name: torch.zeros(2, 2)})
        with pytest.raises(RuntimeError, match=r"Missing key.*weight"):
            layer.load_state_dict({"bias": state["bias"]})
        with pytest.raises(RuntimeError, match=r"Unexpected key.*other"):
            layer.load_state_dict(state | {"other": torch.zeros(1)})
        assert torch.equal(layer(x), before)

    def test_deepcopy_and_pickle(self, linear, x, case):
        layer = case.make(linear)
        buffer = io.BytesIO()
        torch.save(layer, buffer)
        buffer.seek(0)
        for other in (copy.deepcopy(layer), torch.load(buffer, weights_only=False)):
            assert torch.equal(other(x), layer(x))
            assert other.stored_bytes() == layer.stored_bytes()

    def test_compiles_into_one_graph(self, linear, x, case):
        layer = case.make(linear)
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            assert torch.equal(compiled(x), layer(x))

    def test_exports_with_canonical_weights_and_runs_elsewhere(self, linear, x, case):
        layer = case.make(linear)
        batch = torch.export.Dim("batch", min=2, max=64)
        program = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        buffer.seek(0)
        y = torch.export.load(buffer).module()(x[:3])
        exact = nn.functional.linear(x[:3], layer.dequantize(), layer.bias)
        assert relative(y, exact) < case.rounding

    def test_gradients_reach_the_input_and_the_bias(self, linear, x, case):
        layer = case.make(linear)
        layer.bias.requires_grad_(True)
        x = x.clone().requires_grad_(True)
        upstream = torch.randn(5, 7, case.n, generator=torch.Generator().manual_seed(2))
        layer(x).backward(upstream.to(x.dtype))
        expected = upstream @ layer.dequantize(torch.float32)
        assert relative(x.grad, expected) < case.rounding
        assert relative(layer.bias.grad, upstream.sum((0, 1))) < case.rounding

    def test_moving_to_meta_and_back_and_loading_with_assign(self, linear, x, case):
        layer = case.make(linear)
        state, y = layer.state_dict(), layer(x)
        layer.to("meta")
        assert layer.weight.is_meta
        layer.load_state_dict(state, assign=True)
        assert torch.equal(layer(x), y)

    def test_casting_keeps_codes_and_scales(self, linear, x, case, caplog):
        layer = case.make(linear)
        exact = layer(x)
        before = layer.state_dict()
        layer.to(torch.bfloat16)
        after = layer.state_dict()
        if SCHEMES[case.scheme].is_quantized:
            codes = {n: t.reshape(-1).view(torch.uint8) for n, t in before.items() if n != "bias"}
            assert all(torch.equal(after[n].reshape(-1).view(torch.uint8), codes[n]) for n in codes)
        assert after["bias"].dtype == torch.bfloat16
        y = layer(x.bfloat16())
        assert y.dtype == torch.bfloat16
        assert relative(y, exact) < 0.02

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_activations_of_another_type_come_back_in_it(self, linear, x, case, dtype):
        y = case.make(linear)(x.to(dtype))
        assert y.dtype == dtype
        assert relative(y, linear(x)) < case.tolerance

    def test_awkward_activations(self, linear, x, case):
        layer = case.make(linear)
        assert layer(x[:0]).shape == (0, 7, case.n)
        assert layer(x[0, 0]).shape == (case.n,)
        strided = x.transpose(0, 1)
        for view in (strided, x[:1].expand(3, 7, case.k)):
            y, same = layer(view), layer(view.contiguous())
            assert relative(y, same) < case.rounding
        with pytest.raises(ValueError, match=f"x has 99 features, the layer takes {case.k}"):
            layer(x[..., :99])
        with pytest.raises(TypeError, match="floating-point"):
            layer(torch.ones(2, case.k, dtype=torch.int64))

    def test_nan_in_one_row_stays_in_that_row(self, linear, x, case):
        layer = case.make(linear)
        x = x[0].clone()
        x[2, 3] = float("nan")
        finite = layer(x).isfinite().all(-1)
        assert finite.tolist() == [True, True, False, True, True, True, True]

    def test_the_packing_holds_no_second_copy(self, linear, case):
        layer = case.make(linear)
        dtype = str(case.dtype).removeprefix("torch.")
        exact = SCHEMES[case.scheme].weight_bytes(case.n, case.k, dtype)
        rows = -(-case.n // PACKED_ROWS) * PACKED_ROWS
        padded = SCHEMES[case.scheme].weight_bytes(rows, case.k, dtype)
        bias = case.n * case.dtype.itemsize
        # Beside the codes, a packing may hold scales and zero points in a type of its own.
        assert 0.9 * exact <= layer.stored_bytes() - bias <= 1.15 * padded + 16

    def test_inference_mode(self, linear, x, case):
        layer = case.make(linear)
        with torch.inference_mode():
            assert torch.equal(layer(x), layer(x.clone()))
