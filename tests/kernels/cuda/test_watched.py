"""Calls that somebody watches: what torch sees of a layer is its operator, not a launch made ready before."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.kernels.cuda.bound import is_right, rows

OPERATOR = torch.ops.qprobe.group_linear.default


class Dispatched(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.append(function)
        return function(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.seen.append(function)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("watch", [Dispatched, Called])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_a_mode_sees_the_operator(layer, watch, mode):
    x = rows(seed=6)
    with mode():
        with watch() as watching:
            y = layer(x)
        assert OPERATOR in watching.seen
        assert torch.equal(y, layer(x))


def test_fake_tensors_are_not_launched_on(layer, on_processor):
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        y = layer(mode.from_tensor(rows()))
    assert isinstance(y, FakeTensor)
    assert y.shape == (2, 70)
    assert on_processor.launched == []


@pytest.mark.parametrize("pre_dispatch", [False, True])
def test_a_graph_of_fx_has_the_operator(layer, pre_dispatch):
    with torch.no_grad():
        graph = make_fx(layer, pre_dispatch=pre_dispatch)(rows())
        assert OPERATOR in [node.target for node in graph.graph.nodes]
        assert torch.equal(graph(rows(seed=7)), layer(rows(seed=7)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_a_trace_of_jit_has_the_operator(layer):
    with torch.no_grad():
        traced = torch.jit.trace(layer, rows())
        assert "qprobe::group_linear" in str(traced.inlined_graph)
        assert torch.equal(traced(rows(seed=7)), layer(rows(seed=7)))


def test_compiled_it_is_one_operator_however_often_it_was_called(layer):
    graphs = []

    def keep(graph, _inputs):
        graphs.append([node.target for node in graph.graph.nodes])
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend=keep, dynamic=False)
    with torch.no_grad():
        for _ in range(3):
            assert torch.equal(compiled(rows()), layer(rows()))
            layer(rows(3))
    assert len(graphs) == 1
    assert OPERATOR in graphs[0]


def test_exported_it_is_portable(layer):
    with torch.no_grad():
        program = torch.export.export(layer, (rows(),))
    nodes = [node for node in program.graph.nodes if node.target is OPERATOR]
    assert [node.args[-1] for node in nodes] == ["reference"]


def test_gradients_reach_the_input_wherever_it_was_first_seen(layer):
    x, exact = rows().requires_grad_(), layer.dequantize(torch.float64).sum(0)
    with torch.no_grad():
        assert not layer(x).requires_grad
        assert not layer(x).requires_grad
    layer(x).sum().backward()
    assert float((x.grad[0] - exact).norm()) <= 1e-2 * float(exact.norm())


def test_gradients_reach_the_bias(layer):
    layer.bias.requires_grad_(True)
    y = layer(rows())
    y.sum().backward()
    assert torch.equal(layer.bias.grad, torch.full((70,), 2.0, dtype=torch.float16))
    with torch.no_grad():
        assert not layer(rows()).requires_grad


def test_vmap_is_refused_as_for_whatever_has_no_address(layer):
    with torch.no_grad(), pytest.raises(RuntimeError, match="data pointer"):
        torch.vmap(layer)(torch.stack([rows(), rows()]))
    with torch.no_grad():
        assert is_right(layer, rows(), layer(rows()))


def test_hooks_see_every_call(layer):
    seen = []
    layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    layer.register_forward_hook(lambda _, given, y: y + 1)
    with torch.no_grad():
        x = rows()
        y = layer(x)
    assert seen[0] is x
    assert is_right(layer, x, y - 1)
