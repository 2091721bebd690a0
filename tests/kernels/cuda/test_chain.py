"""The whole way on the processor: layer, operator, kernel by M, packing, grid, the real source, y."""

import pytest
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels import registry
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.kernels.cuda import _ready
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.grid import count_blocks
from qprobe.kernels.cuda.kernels import cuda_kernels, lacks
from qprobe.kernels.cuda.portfolio import all_sources
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
        assert "it is not built for" in words or (
            k * dtype.itemsize % 16 and "copies rows" in words
        )
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
    monkeypatch.setattr(type(emulated), "load", lambda *_: lambda *_: lambda _: None)
    assert product.run_poisoned().isnan().all()


@pytest.mark.parametrize(("n", "k"), [(1, 1), (4096, 11008), (2**31 - 1, 1), (8, 128)])
def test_the_limit_of_rows_keeps_every_index_in_32_bits_and_every_grid_within_bounds(n, k):
    for source in SOURCES:
        if source.manifest.role == "dequantize":
            continue
        rows = _ready.most_rows(source, n, k)
        assert rows * max(n, k) <= 2**31 - 1 or rows == 1
        assert rows >= min(65535, (2**31 - 1) // max(n, k))
        for build in source.builds.values():
            count_blocks(build.tile, source.manifest.grid, rows, 1, 1)


def test_tall_blocks_cover_more_rows_than_a_grid_has_blocks():
    source = all_sources()["gemm_s8_mma"]
    assert _ready.most_rows(source, 64, 128) == 65535 * 32


def test_more_output_features_than_a_grid_covers_are_refused(emulated):
    kernel = next(k for k in KERNELS if k.id == "cuda.gemm_w8a16")
    most = 65535 * 32
    for n, words in ((most, ""), (most + 1, f"its blocks cover {most} output features at most")):
        spec = LayerSpec("W8A16", n, 16, torch.float16, 127, "cuda:0")
        assert kernel.objection(spec).startswith(words)
        assert bool(kernel.objection(spec)) == bool(words)


@pytest.mark.parametrize(
    ("k", "words"), [(96, ""), (104, ""), (100, "K = 100 in torch.float16 has 200")]
)
def test_rows_that_the_copy_engine_does_not_take_are_refused(emulated, k, words):
    emulated.card = Card(0, "Emulated", "9.0", 4)
    kernel = next(k for k in KERNELS if k.id == "cuda.gemm_w8a16_wgmma")
    objection = kernel.objection(LayerSpec("W8A16", 64, k, torch.float16, 127, "cuda:0"))
    assert words in objection
    assert bool(words) == bool(objection)


def test_a_weight_elsewhere_is_refused_in_words(emulated):
    kernel, scheme = KERNELS[0], SCHEMES[sorted(KERNELS[0].schemes)[0]]
    x, tensors, _, spec = make(kernel, scheme, torch.float16, 2, 8, 128)
    packed = [tensor.to("meta") for tensor in kernel.pack(tensors, spec)]
    with pytest.raises(ValueError, match=f"x is on cpu.*on meta: {kernel.id} needs both on one"):
        kernel.run(x, None, packed, None, torch.float16)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.id)
def test_without_a_gpu_every_kernel_says_why(kernel):
    assert "torch" in kernel.absent("cuda:0")


def test_a_card_without_the_features_is_told_which(emulated):
    for kernel in KERNELS:
        source = all_sources()[kernel.id.removeprefix("cuda.")]
        emulated.card = Card(0, "Tesla P100", "6.0", 56)
        words = kernel.absent("cuda:0")
        assert bool(words) == bool(source.manifest.requires)
        assert not words or all(feature in words for feature in source.manifest.requires)


def test_of_two_cards_each_has_the_kernels_that_run_on_it(emulated, monkeypatch):
    """A plan for the older one would otherwise weigh kernels that only the newer one can run."""
    cards = [Card(index, "Emulated", name, 4) for index, name in enumerate(("7.0", "9.0"))]
    alone = []
    for card in cards:
        emulated.card = card
        alone.append({kernel.id: kernel.absent("cuda:0") for kernel in KERNELS})
    assert set(alone[0].values()) != set(alone[1].values()) == {""}
    monkeypatch.setattr(type(emulated), "cards", lambda _: tuple(cards))
    for index, expected in enumerate(alone):
        facts = {fact.kernel: fact.reason for fact in registry.kernel_facts(f"cuda:{index}")}
        assert facts.items() >= expected.items()


def test_more_weights_than_32_bits_count_are_refused(emulated):
    kernel = next(k for k in KERNELS if k.id == "cuda.gemv_w4a16")
    spec = LayerSpec("W4A16", 2**20, 4096, torch.float16, 8, "cuda:0")
    assert "indexes 2147483647 weights at most" in kernel.objection(spec)
