"""Whatever traces or differentiates sees an operator, and never the memory that a kernel was to write."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.registry import choose_algorithm, get_kernel
from qprobe.layers import make_layer
from tests.layers.ranges import every
from tests.layers.test_layers import CASES, relative

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit:DeprecationWarning", "ignore::torch.jit.TracerWarning"
)
SOME = [next(case for case in CASES if case.values[0].kernel == kernel) for kernel in
        dict.fromkeys(case.values[0].kernel for case in CASES)]  # fmt: skip
"""One for each kernel."""


@pytest.fixture
def layer(case):
    return case.make(case.linear())


@pytest.fixture
def x(case):
    return torch.randn(5, case.k, generator=torch.Generator().manual_seed(1)).to(case.dtype)


@pytest.mark.parametrize("case", SOME)
class TestOneOfEachKernel:
    def test_an_x_on_another_device_is_refused_in_words(self, layer, x):
        with pytest.raises(ValueError, match=r"x is on meta, the weight of the layer on cpu"):
            layer(x.to("meta"))

    def test_a_fake_x_gives_a_fake_y(self, layer, case):
        with FakeTensorMode(allow_non_fake_inputs=True):
            y = layer(torch.empty(5, case.k, dtype=case.dtype))
        assert (tuple(y.shape), y.dtype) == ((5, case.n), case.dtype)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert layer(mode.from_tensor(torch.zeros(2, case.k, dtype=case.dtype))).shape[0] == 2

    def test_graphs_of_fx_and_of_jit_compute_the_same(self, layer, x, case):
        other = torch.flip(x, (0,))[:3].contiguous()
        with torch.no_grad():
            assert torch.equal(make_fx(layer)(x)(x), layer(x))
            traced = torch.jit.trace(layer, (x,))
            for rows in (x, other):
                assert relative(traced(rows), layer(rows)) < case.rounding + case.tolerance

    def test_compiled_gradients_are_those_of_the_stored_weight(self, layer, x, case):
        layer.bias.requires_grad_(True)
        torch.compiler.reset()
        compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
        x.requires_grad_(True)
        weight = torch.randn(5, case.n).to(case.dtype)
        (compiled(x) * weight).sum().backward()
        assert relative(x.grad, weight @ layer.dequantize(case.dtype)) < case.rounding
        assert relative(layer.bias.grad, weight.sum(0)) < case.rounding

    def test_tangents_are_those_of_the_stored_weight(self, layer, x, case):
        tangent = torch.randn(5, case.k).to(case.dtype)
        exact = tangent @ layer.dequantize(case.dtype).T
        with forward_ad.dual_level():
            y, found = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, tangent)))
            assert forward_ad.unpack_dual(layer(x)).tangent is None
        assert torch.equal(y, layer(x))
        assert relative(found, exact) < case.rounding
        y, found = torch.func.jvp(layer, (x,), (tangent,))
        assert torch.equal(y, layer(x))
        assert relative(found, exact) < case.rounding

    def test_gradients_have_gradients(self, layer, x, case):
        x.requires_grad_(True)
        scale = torch.ones(5, case.n, dtype=case.dtype, requires_grad=True)
        (gradient,) = torch.autograd.grad(layer(x), x, scale, create_graph=True)
        (again,) = torch.autograd.grad(gradient.sum(), scale)
        exact = layer.dequantize(case.dtype).sum(1).expand(5, -1)
        assert relative(again, exact) < case.rounding

    def test_a_bias_may_have_strides(self, layer, x, case):
        state = layer.state_dict()
        for bias in (
            torch.arange(2 * case.n).to(layer.bias.dtype)[::2],
            torch.full((1,), 3.0, dtype=layer.bias.dtype).expand(case.n),
        ):
            layer.load_state_dict(state | {"bias": bias.contiguous()}, assign=True)
            exact = layer(x)
            layer.load_state_dict(state | {"bias": bias}, assign=True)
            assert layer.bias.stride() == bias.stride()
            assert torch.equal(layer(x), exact)


@pytest.mark.parametrize("batch", [torch.export.Dim("batch"), torch.export.Dim.DYNAMIC], ids=str)
def test_a_layer_of_two_kernels_is_exported_for_any_number_of_rows(batch):
    scheme, few, many = SCHEMES["W4A16"], "cpu.dequantize_blocks", "reference"
    algorithm = choose_algorithm(scheme, get_kernel(few))
    linear = torch.nn.Linear(128, 48).requires_grad_(False)
    layer = make_layer(linear, scheme, algorithm, every(few, many), torch.float32)
    x = torch.randn(20, 128)
    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},)).module()
    for rows in (1, 3, 20, 100):
        x = torch.randn(rows, 128)
        assert relative(exported(x), layer(x)) < 1e-5
