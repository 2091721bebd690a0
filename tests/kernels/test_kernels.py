"""Every kernel of the registry, against the exact product of the weight that it was given."""

import pytest
import torch

from qprobe.documents.scheme import SCHEMES, CastWeights
from qprobe.errors import InputError
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import ZERO_POINTS, dequantize_tokens, quantize_tokens
from qprobe.kernels.registry import (
    all_kernels,
    choose_algorithm,
    get_kernel,
    kernel_facts,
    kernels_for,
)
from qprobe.quantize.scheme import dequantize_weight, quantize_weight

SHAPES = [
    (1, 1, 1),
    (1, 7, 5),
    (3, 33, 127),
    (17, 64, 96),
    (0, 8, 16),
    (130, 48, 384),
    (1, 16, 128),
    (5, 19, 256),
    (29, 1100, 1024),  # weights of more than a megabyte are divided among threads, not rows
]
DTYPES = [torch.float32, torch.bfloat16]
KERNELS = [
    pytest.param(kernel, SCHEMES[scheme], dtype, id=f"{kernel.id}-{scheme}-{str(dtype)[6:]}")
    for kernel in kernels_for("cpu")
    for scheme in sorted(kernel.schemes)
    for dtype in DTYPES
]
CASES = [
    pytest.param(*param.values, *shape, id="-".join(map(str, (param.id, *shape))))
    for param in KERNELS
    for shape in SHAPES
    if not param.values[1].objection(*shape[1:])
]


def make(kernel, scheme, dtype, m, n, k):
    generator = torch.Generator().manual_seed(m + 1000 * n + k)
    x = torch.randn(m, k, generator=generator) * (
        1 + 30 * (torch.rand(k, generator=generator) < 0.1)
    )
    weight = torch.randn(n, k, generator=generator)
    weight[0] = 0
    bias = torch.randn(n, generator=generator)
    algorithm = choose_algorithm(scheme, kernel)
    spec = LayerSpec(scheme.name, n, k, dtype, scheme.algorithms[algorithm], "cpu")
    if words := kernel.objection(spec):
        pytest.skip(f"not here: {words}")
    stored = weight.to(dtype) if scheme.weights is None else weight
    return x.to(dtype), quantize_weight(stored, scheme, algorithm), bias.to(dtype), spec


@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize(("kernel", "scheme", "dtype", "m", "n", "k"), CASES)
def test_product_is_that_of_the_stored_weight(kernel, scheme, dtype, m, n, k, with_bias):
    x, tensors, bias, spec = make(kernel, scheme, dtype, m, n, k)
    seen, codes, scale = x.double(), None, None
    if kernel.input != "float":
        codes, scale = quantize_tokens(x, kernel.input)
        seen = dequantize_tokens(codes, scale)
    exact = seen @ dequantize_weight(tensors, scheme, torch.float64).T
    exact = exact + bias.double() if with_bias else exact
    packed = kernel.pack(tensors, spec)
    y = kernel.run(x if codes is None else codes, scale, packed, bias if with_bias else None, dtype)
    assert y.shape == (m, n)
    assert y.dtype == dtype
    narrow = dtype == torch.bfloat16 or isinstance(scheme.weights, CastWeights)
    allowed = (2e-2 if narrow else 1e-5) * float(exact.norm())
    assert float((y.double() - exact).norm()) <= allowed


@pytest.mark.parametrize(("kernel", "scheme", "dtype", "m", "n", "k"), CASES)
def test_unpacking_gives_the_canonical_tensors_bit_for_bit(kernel, scheme, dtype, m, n, k):
    _, tensors, _, spec = make(kernel, scheme, dtype, m, n, k)
    again = kernel.unpack(kernel.pack(tensors, spec), spec)
    assert list(again) == list(tensors)
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(
            again[name].reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8)
        )


@pytest.mark.parametrize(("kernel", "scheme", "dtype"), KERNELS)
def test_full_range_weights_are_exact_or_refused(kernel, scheme, dtype):
    """Processors that saturate must not get codes that they multiply wrongly."""
    if kernel.input not in ("int8", "uint8"):
        pytest.skip("multiplies no integers")
    n, k = 16, 64
    spec = LayerSpec(scheme.name, n, k, dtype, 127, "cpu")
    if kernel.objection(spec):
        limit = kernel.max_code()
        assert kernel.absent("cpu") or (limit is not None and limit < 127)
        return
    codes = torch.full((n, k), 127, dtype=torch.int8)
    tensors = {"weight": codes, "weight_scale": torch.ones(n, 1)}
    x = torch.full((2, k), 127 + ZERO_POINTS[kernel.input]).to(getattr(torch, kernel.input))
    y = kernel.run(x, torch.ones(2, 1), kernel.pack(tensors, spec), None, torch.float32)
    assert torch.equal(y, torch.full((2, n), float(127 * 127 * k)))


def test_every_scheme_has_a_kernel_of_its_own_and_the_reference_comes_last():
    *own, reference = all_kernels().values()
    assert reference.id == "reference"
    assert reference.schemes == set(SCHEMES)
    assert all(kernel.id.startswith(f"{kernel.device}.") for kernel in own)


def test_the_reference_computes_every_scheme_without_objection():
    reference = get_kernel("reference")
    for scheme in SCHEMES:
        for device in ("cpu", "cuda", "meta"):
            spec = LayerSpec(scheme, 3, 128, torch.float32, 127, device)
            assert reference.objection(spec) == ""


@pytest.mark.parametrize(
    "scheme", [s for s in SCHEMES.values() if s.block > 1], ids=lambda s: s.name
)
def test_a_k_that_cuts_a_block_is_refused_with_the_reason(scheme):
    for kernel in kernels_for("cpu"):
        if scheme.name in kernel.schemes:
            words = kernel.objection(LayerSpec(scheme.name, 16, 200, torch.bfloat16, 0, "cpu"))
            assert (
                words
                == f"K = 200 is not a multiple of the {scheme.block} weights that share a scale"
            )


def test_an_unknown_kernel_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match=r"cuda\.sm80_w8a8_gemm.*reference"):
        get_kernel("cuda.sm80_w8a8_gemm")


def test_kernels_of_other_devices_object():
    spec = LayerSpec("W8A8", 8, 8, torch.float32, 63, "cuda")
    assert "runs on cpu" in get_kernel("cpu.onednn_qlinear_u8").objection(spec)


def test_facts_say_why_a_kernel_is_not_available():
    for fact in kernel_facts("cpu"):
        assert fact.available == (fact.reason == "")


@pytest.mark.parametrize("kernel", all_kernels().values(), ids=lambda k: k.id)
def test_a_scheme_that_a_kernel_does_not_compute_is_refused(kernel):
    for scheme in set(SCHEMES) - kernel.schemes:
        spec = LayerSpec(scheme, 8, 8, torch.float32, 0, "cpu")
        assert f"does not compute {scheme}" in kernel.objection(spec)
