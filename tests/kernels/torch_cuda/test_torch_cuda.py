"""Torch's CUDA operators as kernels: what surrounds them, with others in their place."""

import pytest
import torch

from qprobe._discover import discover
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels import gpus, torch_cuda
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.kernels.registry import choose_algorithm, get_kernel
from qprobe.kernels.torch_cuda import _operators
from qprobe.kernels.torch_cuda._padding import pad_matrix
from qprobe.quantize.scheme import dequantize_weight, quantize_weight
from tests.kernels.torch_cuda.stand_ins import ALL

SHAPES = [(0, 16, 128), (1, 8, 256), (16, 24, 384), (17, 7, 96), (33, 40, 100), (5, 1, 1)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
KERNELS = discover(torch_cuda, "KERNEL")
CASES = [
    pytest.param(kernel, SCHEMES[scheme], *shape, id=f"{kernel.id}-{scheme}-{shape}")
    for kernel in KERNELS
    for scheme in sorted(kernel.schemes)
    for shape in SHAPES
    if not SCHEMES[scheme].objection(*shape[1:])
]


@pytest.fixture
def card(monkeypatch):
    """Says that torch has one GPU, of the capability that it is called with."""
    for name, stand_in in ALL.items():
        monkeypatch.setattr(_operators, name, stand_in)

    def plant(*capabilities):
        monkeypatch.setattr(gpus, "no_gpu", lambda: "")
        monkeypatch.setattr(
            gpus, "capability_of", lambda device: capabilities[int(device.partition(":")[2] or 0)]
        )

    return plant


@pytest.mark.parametrize("capability", [(8, 9), (9, 0)], ids=str)
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d)[6:])
@pytest.mark.parametrize(("kernel", "scheme", "m", "n", "k"), CASES)
def test_products_are_right_and_packings_are_reversed(
    card, kernel, scheme, m, n, k, dtype, with_bias, capability
):
    card(capability)
    algorithm = choose_algorithm(scheme, kernel)
    spec = LayerSpec(scheme.name, n, k, dtype, scheme.algorithms[algorithm], "cuda:0")
    if words := kernel.objection(spec):
        assert any(
            reason in words
            for reason in ("no padding", "weights' type", "bfloat16", "16 bits", "multiples")
        )
        return
    generator = torch.Generator().manual_seed(m + 1000 * n + k)
    x = torch.randn(m, k, generator=generator).to(dtype)
    bias = torch.randn(n, generator=generator).to(dtype) if with_bias else None
    weight = torch.randn(n, k, generator=generator)
    stored = weight.to(dtype) if scheme.weights is None else weight
    tensors = quantize_weight(stored, scheme, algorithm)
    packed = kernel.pack(tensors, spec)
    again = kernel.unpack(packed, spec)
    assert list(again) == list(tensors)
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        bits = [t.reshape(-1).view(torch.uint8) for t in (again[name], tensor)]
        assert torch.equal(*bits)

    seen, codes, scale = x.double(), x, None
    if kernel.input != "float":
        codes, scale = quantize_tokens(x, kernel.input)
        seen = dequantize_tokens(codes, scale)
    exact = seen @ dequantize_weight(tensors, scheme, torch.float64).T
    exact = exact if bias is None else exact + bias.double()
    y = kernel.run(codes, scale, packed, bias, dtype)
    assert y.shape == (m, n)
    assert y.is_contiguous(), "torch's compiler takes it for that"
    assert y.dtype == dtype
    limit = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    assert float((y.double() - exact).norm()) <= limit * float(exact.norm())


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.id)
def test_leading_dimensions_are_kept(card, kernel):
    card((9, 0))
    scheme = SCHEMES[sorted(kernel.schemes)[0]]
    spec = LayerSpec(
        scheme.name, 12 if kernel.id == "cuda.padded_linear" else 16, 128, torch.bfloat16, 0, "cuda"
    )
    assert kernel.objection(spec) == ""
    weight = torch.randn(spec.n, 128).to(torch.bfloat16)
    packed = kernel.pack(quantize_weight(weight, scheme, choose_algorithm(scheme, kernel)), spec)
    for lead in [(2, 3), (0,), (2, 0), ()]:
        x = torch.randn(*lead, 128).to(torch.bfloat16)
        codes, scale = (x, None) if kernel.input == "float" else quantize_tokens(x, kernel.input)
        y = kernel.run(codes, scale, packed, None, torch.bfloat16)
        assert y.shape == (*lead, spec.n)


@pytest.mark.parametrize(
    ("kernel_id", "scheme", "dtype", "n", "k", "capability", "words"),
    [
        (
            "cuda.int_mm",
            "W8A8",
            torch.float16,
            64,
            64,
            (7, 0),
            "tensor cores from compute capability 7.5 on; this GPU has 7.0",
        ),
        ("cuda.int_mm", "W8A8", torch.float16, 5, 3, (7, 5), ""),
        (
            "cuda.scaled_mm",
            "FP8_DYNAMIC",
            torch.bfloat16,
            64,
            64,
            (8, 6),
            "from compute capability 8.9 on; this GPU has 8.6",
        ),
        (
            "cuda.int4pack",
            "W4A16",
            torch.bfloat16,
            64,
            128,
            (7, 5),
            "from compute capability 8.0 on; this GPU has 7.5",
        ),
        ("cuda.int4pack", "W4A16", torch.float16, 64, 128, (8, 0), "bfloat16 activations only"),
        ("cuda.int4pack", "W4A16", torch.bfloat16, 20, 128, (8, 0), "multiples of 8; N is 20"),
        ("cuda.padded_linear", "FP16", torch.float16, 64, 64, (8, 0), "need no padding"),
        (
            "cuda.padded_linear",
            "FP16",
            torch.float16,
            63,
            64,
            (6, 1),
            "tensor cores multiply float16 from compute capability 7.0",
        ),
        (
            "cuda.padded_linear",
            "BF16",
            torch.bfloat16,
            63,
            64,
            (7, 5),
            "tensor cores multiply bfloat16 from compute capability 8.0",
        ),
        ("cuda.padded_linear", "BF16", torch.float32, 63, 64, (9, 0), "of the weights' type"),
    ],
)
def test_traps_are_refused_with_the_reason(card, kernel_id, scheme, dtype, n, k, capability, words):
    card(capability)
    spec = LayerSpec(scheme, n, k, dtype, 0, "cuda:0")
    found = get_kernel(kernel_id).objection(spec)
    assert words in found
    assert bool(words) == bool(found)


def test_of_two_cards_each_has_the_operators_that_run_on_it(card):
    card((7, 0), (9, 0))
    kernel = get_kernel("cuda.int_mm")
    for device, words in (
        ("cuda:0", "from compute capability 7.5 on; this GPU has 7.0"),
        ("cuda:1", ""),
    ):
        assert kernel.absent(device).endswith(words)
        assert bool(kernel.absent(device)) == bool(words)
        objection = kernel.objection(LayerSpec("W8A8", 8, 8, torch.float16, 127, device))
        assert objection == kernel.absent(device)


@pytest.mark.parametrize(
    ("cuda", "hip", "count", "words"),
    [
        (None, None, 0, "built without CUDA"),
        (None, "6.2", 4, "AMD's ROCm"),
        ("13.0", None, 0, "finds no NVIDIA GPU"),
        ("13.0", None, 2, ""),
    ],
)
def test_absence_is_said_in_words(monkeypatch, cuda, hip, count, words):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(gpus, "cuda_count", lambda: count)
    found = gpus.no_gpu.__wrapped__()
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize("offset", [0, 1, 8, 16])
def test_what_is_filled_up_is_aligned_for_the_operators(offset):
    memory = torch.arange(16 * 16 + offset, dtype=torch.uint8)[offset:].view(torch.int8)
    matrix = memory.reshape(16, 16)
    for rows, columns in ((16, 16), (17, 32)):
        padded = pad_matrix(matrix, rows, columns)
        assert padded.data_ptr() % 16 == 0
        assert padded.is_contiguous()
        assert torch.equal(padded[:16, :16], matrix)
