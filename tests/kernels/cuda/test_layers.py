"""Layers on CUDA, on the processor: kernels by M, awkward activations, packing, compiling, gradients and state."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import UnavailableError
from qprobe.kernels import registry
from qprobe.kernels.cuda import _ready
from qprobe.kernels.cuda.driver import Card
from qprobe.layers import make_layer

LIMITS = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}


@pytest.fixture
def group_layer(on_processor):
    """A layer of 4-bit weights that goes from one kernel to another at 9 rows."""
    linear = nn.Linear(256, 70)
    kernels = (
        KernelRange(kernel="cuda.gemv_w4a16", m_min=1, m_max=8),
        KernelRange(kernel="cuda.dequantize_w4", m_min=9, m_max=None),
    )
    return make_layer(linear, SCHEMES["W4A16"], "mse", kernels, torch.float16)


def expect(layer, x):
    """The exact product, by the weight that the layer holds."""
    return x.double() @ layer.dequantize(torch.float64).T + layer.bias.double()


def close(y, exact, dtype=torch.float16):
    return float((y.double() - exact).norm()) <= LIMITS[dtype] * float(exact.norm())


def used(driver):
    return [name for name, *_ in driver.launched]


@pytest.mark.parametrize(
    ("lead", "kernel"),
    [((1,), "gemv_w4a16"), ((2, 4), "gemv_w4a16"), ((3, 3), "dequantize_w4"), ((), "gemv_w4a16")],
)
def test_a_layer_takes_the_kernel_for_its_rows(group_layer, on_processor, lead, kernel):
    x = torch.randn(*lead, 256).to(torch.float16)
    with torch.no_grad():
        y = group_layer(x)
    assert used(on_processor) == [kernel]
    assert y.shape == (*lead, 70)
    assert close(y, expect(group_layer, x))


def test_activations_that_lie_awkwardly_are_made_right(group_layer):
    wide = torch.randn(3, 600).to(torch.float16)
    with torch.no_grad():
        for x in (
            wide[:, 1:257],
            wide[:, ::2][:, :256],
            wide.t()[:256].t(),
            wide[:, 3:259].clone()[:, :],
        ):
            assert close(group_layer(x), expect(group_layer, x))
        odd = torch.randn(3 * 256 + 1).to(torch.float16)[1:].reshape(3, 256)
        assert odd.data_ptr() % 16
        assert close(group_layer(odd), expect(group_layer, odd))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_comes_out_in_its_row_alone(group_layer, value):
    x = torch.randn(3, 256).to(torch.float16)
    x[1, 17] = value
    with torch.no_grad():
        y = group_layer(x)
    assert not y[1].isfinite().any()
    assert y[[0, 2]].isfinite().all()


def test_activations_of_another_type_are_computed_in_the_nearest(group_layer):
    x = torch.randn(2, 256, dtype=torch.float64)
    with torch.no_grad():
        y = group_layer(x)
    assert y.dtype == torch.float64
    assert close(y, expect(group_layer, x), torch.bfloat16)


def test_rows_beyond_what_one_launch_indexes_are_computed_in_parts(
    group_layer, on_processor, monkeypatch
):
    monkeypatch.setattr(_ready, "most_rows", lambda *_: 3)
    _ready.forget()
    x = torch.randn(8, 256).to(torch.float16)
    with torch.no_grad():
        y = group_layer(x)
    assert used(on_processor) == ["gemv_w4a16"] * 3
    assert close(y, expect(group_layer, x))


@pytest.mark.parametrize("schedule", ["in_turn", "reversed", "random"])
def test_parts_of_k_are_summed_the_same_in_any_order(on_processor, schedule):
    on_processor.card = Card(0, "Emulated", "9.0", 132)
    linear = nn.Linear(4096, 33)
    kernels = (KernelRange(kernel="cuda.gemv_w4a16", m_min=1, m_max=None),)
    layer = make_layer(linear, SCHEMES["W4A16"], "rtn", kernels, torch.float16)
    x = torch.randn(2, 4096, generator=torch.Generator().manual_seed(0)).to(torch.float16)
    found = []
    for order in ("eager", schedule):
        on_processor.schedule = order
        with torch.no_grad():
            found.append(layer(x))
    assert all(blocks[2] > 1 for _, _, blocks in on_processor.launched)
    assert torch.equal(*found)
    assert close(found[0], expect(layer, x))


def test_compiled_the_layer_is_one_graph_and_computes_the_same(group_layer):
    compiled = torch.compile(group_layer, fullgraph=True, backend="aot_eager")
    for rows in (2, 12):
        x = torch.randn(rows, 256).to(torch.float16)
        with torch.no_grad():
            assert torch.equal(compiled(x), group_layer(x))


def test_the_gradient_of_the_input_is_that_of_the_stored_weight(group_layer):
    x = torch.randn(2, 256).to(torch.float16).requires_grad_()
    group_layer(x).sum().backward()
    exact = group_layer.dequantize(torch.float64).sum(0)
    assert close(x.grad[0], exact)


def test_the_state_is_canonical_and_survives_a_copy(group_layer):
    import copy

    state = group_layer.state_dict()
    other = copy.deepcopy(group_layer)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, state[name])
    x = torch.randn(2, 256).to(torch.float16)
    with torch.no_grad():
        assert torch.equal(other(x), group_layer(x))


def test_packing_has_every_build_ready_before_the_first_call(on_processor, monkeypatch):
    """A first call may be captured in a CUDA graph, where no module can be loaded."""
    loaded = []
    load = type(on_processor).load

    def listen(self, source, name, index):
        loaded.append((source.name, name))
        return load(self, source, name, index)

    monkeypatch.setattr(type(on_processor), "load", listen)
    kernels = (
        KernelRange(kernel="cuda.gemv_w4a16", m_min=1, m_max=8),
        KernelRange(kernel="cuda.dequantize_w4", m_min=9, m_max=None),
    )
    layer = make_layer(nn.Linear(128, 32), SCHEMES["NF4"], "rtn", kernels, torch.float16)
    before = set(loaded)
    assert {source for source, _ in before} == {"gemv_w4a16", "dequantize_w4"}
    with torch.no_grad():
        for rows in (1, 3, 8, 9):
            layer(torch.randn(rows, 128).to(torch.float16))
    assert set(loaded) == before


def test_memory_that_runs_out_while_packing_is_told_with_what_to_do(on_processor, monkeypatch):
    kernel = registry.get_kernel("cuda.gemv_w4a16")

    def fail(_tensors, _spec):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    full = registry.all_kernels() | {kernel.id: replace(kernel, pack=fail)}
    monkeypatch.setattr(registry, "all_kernels", lambda: full)
    ranges = (KernelRange(kernel=kernel.id, m_min=1, m_max=None),)
    with pytest.raises(
        UnavailableError, match="no memory on cpu to pack a weight of 32 × 128"
    ) as seen:
        make_layer(nn.Linear(128, 32), SCHEMES["W4A16"], "rtn", ranges, torch.float16)
    assert "--memory" in seen.value.hint


def test_a_moved_layer_that_cannot_be_packed_falls_back_and_says_so(
    group_layer, monkeypatch, caplog
):
    x = torch.randn(2, 256).to(torch.float16)
    with torch.no_grad():
        before = group_layer(x)
    kernel = registry.get_kernel("cuda.gemv_w4a16")

    def fail(_tensors, _spec):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    full = registry.all_kernels() | {kernel.id: replace(kernel, pack=fail)}
    monkeypatch.setattr(registry, "all_kernels", lambda: full)
    group_layer.to("cpu")
    assert "falls back to the reference kernel: no memory" in caplog.text
    with torch.no_grad():
        assert float((group_layer(x) - before).norm() / before.norm()) < 2e-3
