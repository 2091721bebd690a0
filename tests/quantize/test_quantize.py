"""Codes and scales of every scheme that stores them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.documents.scheme import SCHEMES, ChannelWeights
from qprobe.errors import InputError
from qprobe.quantize.scheme import (
    canonical_names,
    dequantize_weight,
    quantize_weight,
    shape_of,
)

CODED = [scheme for scheme in SCHEMES.values() if scheme.is_quantized]
PAIRS = [
    pytest.param(scheme, algorithm, id=f"{scheme.name}-{algorithm}")
    for scheme in CODED
    for algorithm in scheme.algorithms
]
LARGEST_GAP = {"NF4": 0.152, "FP8_DYNAMIC": 0.0179}
"""Half the widest gap between neighbouring values, as a share of the largest magnitude."""


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def half_step(scheme, algorithm, blocks):
    """What rounding to nearest at full scale may move a weight by, for each block (R, B)."""
    peak = blocks.abs().amax(1, keepdim=True)
    if scheme.name in LARGEST_GAP:
        return peak * LARGEST_GAP[scheme.name] * 2
    if isinstance(scheme.weights, ChannelWeights):
        return peak / scheme.algorithms[algorithm] / 2
    spread = blocks.amax(1, keepdim=True).clamp_min(0) - blocks.amin(1, keepdim=True).clamp_max(0)
    # The scale is rounded to 8 bits, which may cut the ends of the range.
    return (2 * peak if scheme.weights.symmetric else spread) * (0.5 / 15 + 2**-8)


@pytest.mark.parametrize(("scheme", "algorithm"), PAIRS)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 9),
    blocks=st.integers(1, 3),
    power=st.integers(-20, 20),
)
@settings(max_examples=15, deadline=None)
def test_each_weight_is_within_half_a_step(scheme, algorithm, seed, n, blocks, power):
    k = blocks * scheme.block if scheme.block > 1 else 13 * blocks
    weight = normal(n, k, seed=seed) * 2.0**power
    tensors = quantize_weight(weight, scheme, algorithm)
    error = (dequantize_weight(tensors, scheme, torch.float64) - weight.double()).abs()
    width = scheme.block if scheme.block > 1 else k
    limit = half_step(scheme, algorithm, weight.double().reshape(-1, width))
    if algorithm == "mse":  # Clips: only the sum of squares is bounded, by that of full scale.
        rtn = dequantize_weight(quantize_weight(weight, scheme, "rtn"), scheme, torch.float64)
        full = (rtn - weight.double()).square().reshape(-1, width).sum(1)
        assert bool((error.square().reshape(-1, width).sum(1) <= full * (1 + 1e-6)).all())
    else:
        assert bool((error.reshape(-1, width) <= limit * (1 + 1e-5)).all())


@pytest.mark.parametrize(
    "scheme", [s for s in CODED if "mse" in s.algorithms], ids=lambda s: s.name
)
def test_clipping_gains_on_normal_weights_and_not_on_two_values(scheme):
    def noise(weight, algorithm):
        stored = quantize_weight(weight, scheme, algorithm)
        return float((dequantize_weight(stored, scheme, torch.float64) - weight).square().sum())

    weight = normal(64, 256)
    gain = noise(weight, "rtn") / noise(weight, "mse")
    assert gain >= (1.03 if scheme.block > 1 else 1)
    signs = normal(8, 256).sign()
    assert noise(signs, "mse") <= noise(signs, "rtn") * (1 + 1e-9)


@pytest.mark.parametrize("algorithm", ["rtn", "rtn_reduce_range"])
def test_the_largest_weight_of_a_row_gets_the_largest_code(algorithm):
    scheme = SCHEMES["W8A16"]
    weight = torch.tensor([[0.5, -2.0, 1.0], [3.0, 0.0, -1.0]])
    codes = quantize_weight(weight, scheme, algorithm)["weight"]
    assert codes.dtype == torch.int8
    assert codes[0, 1] == -scheme.algorithms[algorithm]
    assert codes[1, 0] == scheme.algorithms[algorithm]


@pytest.mark.parametrize(("scheme", "algorithm"), PAIRS)
def test_blocks_of_zeros_and_of_denormals_stay_finite(scheme, algorithm):
    weight = torch.zeros(3, 128)
    weight[1, 0] = 1e-45
    weight[2] = normal(128)
    tensors = quantize_weight(weight, scheme, algorithm)
    assert bool((tensors["weight_scale"].float() > 0).all())
    stored = dequantize_weight(tensors, scheme, torch.float32)
    assert torch.equal(stored[0], torch.zeros(128))
    assert float(stored[1].abs().max()) <= 1e-44
    assert bool(stored.isfinite().all())


@pytest.mark.parametrize("scheme", CODED, ids=lambda s: s.name)
def test_constant_rows_and_a_single_row_are_exact_within_the_scale(scheme):
    weight = torch.full((1, 128), -0.37)
    stored = dequantize_weight(
        quantize_weight(weight, scheme, next(iter(scheme.algorithms))), scheme, torch.float32
    )
    assert float((stored / weight - 1).abs().max()) < 0.08


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("scheme", CODED, ids=lambda s: s.name)
def test_weights_that_are_not_finite_are_refused(scheme, bad):
    weight = torch.ones(2, 128)
    weight[0, 5] = bad
    with pytest.raises(InputError, match="1 of 2 rows"):
        quantize_weight(weight, scheme, "rtn")


@pytest.mark.parametrize("scheme", [s for s in CODED if s.block > 1], ids=lambda s: s.name)
def test_a_k_that_cuts_a_block_is_refused(scheme):
    with pytest.raises(InputError, match="K = 100 is not a multiple"):
        quantize_weight(torch.ones(2, 100), scheme, "rtn")


def test_a_weight_beyond_float16_is_refused():
    with pytest.raises(InputError, match="65504"):
        quantize_weight(torch.tensor([[1e5]]), SCHEMES["FP16"], "none")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scheme", CODED, ids=lambda s: s.name)
def test_any_floating_type_is_quantized_in_float32(scheme, dtype):
    weight = normal(4, 128).to(dtype)
    tensors = quantize_weight(weight, scheme, "rtn")
    for name, tensor in quantize_weight(weight.float(), scheme, "rtn").items():
        assert torch.equal(tensors[name].view(torch.uint8), tensor.view(torch.uint8))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("n", [1, 6, 17])
def test_canonical_tensors_have_the_names_and_the_bytes_that_the_scheme_says(scheme, n):
    weight = normal(n, 256)
    tensors = quantize_weight(weight, scheme, next(iter(scheme.algorithms)))
    assert tuple(tensors) == canonical_names(scheme)
    assert shape_of(tensors) == (n, 256)
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    assert held == scheme.weight_bytes(n, 256, "float32")


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_quantizing_what_was_dequantized_changes_little_or_nothing(scheme):
    algorithm = "rtn" if scheme.is_quantized else "none"
    once = dequantize_weight(
        quantize_weight(normal(6, 256), scheme, algorithm), scheme, torch.float32
    )
    twice = dequantize_weight(quantize_weight(once, scheme, algorithm), scheme, torch.float32)
    assert float((once - twice).norm() / once.norm()) <= (0.1 if scheme.block > 1 else 1e-6)


@pytest.mark.parametrize("scheme", CODED, ids=lambda s: s.name)
def test_large_weights_are_quantized_chunk_by_chunk_with_the_same_result(scheme, monkeypatch):
    from qprobe.quantize import _shrink

    weight = normal(31, 256)
    whole = quantize_weight(weight, scheme, "mse")
    monkeypatch.setattr(_shrink, "CHUNK", 512)
    for name, tensor in quantize_weight(weight, scheme, "mse").items():
        assert torch.equal(tensor.view(torch.uint8), whole[name].view(torch.uint8))


def test_noise_falls_with_the_bits_and_with_the_size_of_the_groups():
    weight = normal(64, 512)

    def noise(name):
        scheme = SCHEMES[name]
        stored = quantize_weight(weight, scheme, next(iter(scheme.algorithms)))
        return float((dequantize_weight(stored, scheme, torch.float64) - weight).norm())

    order = ["W8A16", "FP8_DYNAMIC", "W4A16_G32", "W4A16_G64", "W4A16"]
    found = [noise(name) for name in order]
    assert found == sorted(found)
    assert noise("NF4") < noise("W4A16_G64")
    assert noise("W4A16_ASYM") < noise("W4A16")
    assert math.isclose(noise("W8A8"), noise("W8A16"))
