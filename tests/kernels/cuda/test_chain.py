"""The whole way on the processor: layer, operator, kernel by M, packing, grid, the real source, y."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import UnavailableError
from qprobe.kernels import registry
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.kernels.cuda import _products
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.grid import count_blocks
from qprobe.kernels.cuda.kernels import cuda_kernels, lacks
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.layers import make_layer
from qprobe.quantize.scheme import dequantize_weight, quantize_weight
from tests.gpu.products import make_product

KERNELS = cuda_kernels()
SOURCES = [all_sources()[kernel.id.removeprefix("cuda.")] for kernel in KERNELS]
LIMITS = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
SHAPES = [
    (1, 1, 128),
    (1, 70, 384),
    (3, 33, 256),
    (9, 40, 128),
    (0, 8, 128),
    (2, 31, 97),
    (5, 3, 1),
]
CASES = [
    pytest.param(
        kernel,
        SCHEMES[scheme],
        getattr(torch, dtype),
        *shape,
        id=f"{kernel.id}-{scheme}-{dtype}-{shape}",
    )
    for kernel in KERNELS
    for scheme in sorted(kernel.schemes)
    for dtype in ("float16", "bfloat16", "float32")
    for shape in SHAPES
    if not SCHEMES[scheme].objection(*shape[1:])
]


@pytest.fixture
def on_processor(emulated, monkeypatch):
    """The registry with CUDA kernels that take the processor for their device."""
    found = registry.all_kernels() | {k.id: replace(k, device="any") for k in KERNELS}
    monkeypatch.setattr(registry, "all_kernels", lambda: found)
    return emulated


def card_for(kernel):
    """The oldest card that has what the kernel needs, so that others than the newest are tried."""
    for capability in ("6.1", "7.0", "7.5", "8.0", "8.9", "9.0", "10.0"):
        card = Card(0, "Emulated", capability, 4)
        if not lacks(all_sources()[kernel.id.removeprefix("cuda.")], card):
            return card
    raise AssertionError(kernel.id)


def make(kernel, scheme, dtype, m, n, k):
    generator = torch.Generator().manual_seed(m + 1000 * n + k)
    x = torch.randn(m, k, generator=generator) * (
        1 + 10 * (torch.rand(k, generator=generator) < 0.1)
    )
    weight = torch.randn(n, k, generator=generator)
    if n > 1:  # Alone, it would leave nothing but rounding to compare.
        weight[0] = 0
    bias = torch.randn(n, generator=generator).to(dtype)
    algorithm = registry.choose_algorithm(scheme, kernel)
    spec = LayerSpec(scheme.name, n, k, dtype, scheme.algorithms[algorithm], "cuda:0")
    return x.to(dtype), quantize_weight(weight, scheme, algorithm), bias, spec


@pytest.mark.parametrize(("kernel", "scheme", "dtype", "m", "n", "k"), CASES)
def test_every_kernel_multiplies_what_is_stored(emulated, kernel, scheme, dtype, m, n, k):
    emulated.card = card_for(kernel)
    x, tensors, bias, spec = make(kernel, scheme, dtype, m, n, k)
    if words := kernel.objection(spec):
        assert "it is not built for" in words
        return
    packed = kernel.pack(tensors, spec)
    again = kernel.unpack(packed, spec)
    for name, tensor in tensors.items():
        assert torch.equal(
            again[name].reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8)
        )
    seen, codes, scale = x.double(), x, None
    if kernel.input != "float":
        codes, scale = quantize_tokens(x, kernel.input)
        seen = dequantize_tokens(codes, scale)
    wide = dequantize_weight(tensors, scheme, torch.float64)
    exact = seen @ wide.T + bias.double()
    # Terms may cancel: what is rounded is as large as they are.
    size = float((seen.abs() @ wide.abs().T + bias.double().abs()).norm())
    y = kernel.run(codes, scale, packed, bias, dtype)
    assert y.shape == (m, n)
    assert y.dtype == dtype
    assert float((y.double() - exact).norm()) <= LIMITS[dtype] * size
    assert bool(emulated.launched) == bool(m)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.id)
def test_every_element_is_written_whatever_the_memory_held(emulated, kernel):
    emulated.card = card_for(kernel)
    scheme = sorted(kernel.schemes)[0]
    product = make_product(kernel, scheme, torch.float16, 6, 200, 512, torch.device("cpu"))
    y = product.run_poisoned()
    assert y.isfinite().all()
    assert product.error(y) <= product.limit


def test_what_is_not_written_is_seen(emulated, monkeypatch):
    kernel = next(k for k in KERNELS if k.id == "cuda.gemv_w8a16")
    product = make_product(kernel, "W8A16", torch.float16, 2, 8, 128, torch.device("cpu"))
    monkeypatch.setattr(type(emulated), "load", lambda *_: lambda *_: None)
    assert product.run_poisoned().isnan().all()


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
    monkeypatch.setattr(_products, "most_rows", lambda *_: 3)
    x = torch.randn(8, 256).to(torch.float16)
    with torch.no_grad():
        y = group_layer(x)
    assert used(on_processor) == ["gemv_w4a16"] * 3
    assert close(y, expect(group_layer, x))


@pytest.mark.parametrize(("n", "k"), [(1, 1), (4096, 11008), (2**31 - 1, 1), (8, 128)])
def test_the_limit_of_rows_keeps_every_index_in_32_bits_and_every_grid_within_bounds(n, k):
    for source in SOURCES:
        if source.manifest.role == "dequantize":
            continue
        rows = _products.most_rows(source, n, k)
        assert rows * max(n, k) <= 2**31 - 1 or rows == 1
        assert rows >= min(65535, (2**31 - 1) // max(n, k))
        for build in source.builds.values():
            count_blocks(build.tile, source.manifest.grid, rows, 1, 1)


def test_tall_blocks_cover_more_rows_than_a_grid_has_blocks():
    source = all_sources()["gemm_s8_mma"]
    assert _products.most_rows(source, 64, 128) == 65535 * 32


def test_more_output_features_than_a_grid_covers_are_refused(emulated):
    kernel = next(k for k in KERNELS if k.id == "cuda.gemm_w8a16")
    most = 65535 * 128
    for n, words in ((most, ""), (most + 1, f"its blocks cover {most} output features at most")):
        spec = LayerSpec("W8A16", n, 16, torch.float16, 127, "cuda:0")
        assert kernel.objection(spec).startswith(words)
        assert bool(kernel.objection(spec)) == bool(words)


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


def test_a_weight_elsewhere_is_refused_in_words(emulated):
    kernel, scheme = KERNELS[0], SCHEMES[sorted(KERNELS[0].schemes)[0]]
    x, tensors, _, spec = make(kernel, scheme, torch.float16, 2, 8, 128)
    packed = [tensor.to("meta") for tensor in kernel.pack(tensors, spec)]
    with pytest.raises(ValueError, match=f"x is on cpu.*on meta: {kernel.id} needs both on one"):
        kernel.run(x, None, packed, None, torch.float16)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.id)
def test_without_a_gpu_every_kernel_says_why(kernel):
    assert "torch" in kernel.absent()


def test_a_card_without_the_features_is_told_which(emulated):
    for kernel in KERNELS:
        source = all_sources()[kernel.id.removeprefix("cuda.")]
        emulated.card = Card(0, "Tesla P100", "6.0", 56)
        words = kernel.absent()
        assert bool(words) == bool(source.manifest.requires)
        assert not words or all(feature in words for feature in source.manifest.requires)


def test_more_weights_than_32_bits_count_are_refused(emulated):
    kernel = next(k for k in KERNELS if k.id == "cuda.gemv_w4a16")
    spec = LayerSpec("W4A16", 2**20, 4096, torch.float16, 8, "cuda:0")
    assert "indexes 2147483647 weights at most" in kernel.objection(spec)


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
