"""Codes and scales of 8-bit weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.documents.scheme import ALGORITHMS, SCHEMES
from qprobe.errors import InputError
from qprobe.quantize.channel import dequantize_channel, quantize_channel
from qprobe.quantize.scheme import canonical_names, dequantize_weight, quantize_weight

CODED = sorted(name for name, code in ALGORITHMS.items() if code)


@pytest.mark.parametrize("algorithm", CODED)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 9),
    k=st.integers(1, 40),
    power=st.integers(-20, 20),
)
@settings(max_examples=40, deadline=None)
def test_each_weight_is_within_half_a_step(algorithm, seed, n, k, power):
    weight = torch.randn(n, k, generator=torch.Generator().manual_seed(seed)) * 2.0**power
    tensors = quantize_channel(weight, algorithm)
    error = (dequantize_channel(tensors, torch.float64) - weight.double()).abs()
    step = weight.double().abs().amax(1, keepdim=True) / ALGORITHMS[algorithm]
    assert bool((error <= step * (0.5 + 1e-5)).all())


@pytest.mark.parametrize("algorithm", CODED)
def test_the_largest_weight_of_a_row_gets_the_largest_code(algorithm):
    weight = torch.tensor([[0.5, -2.0, 1.0], [3.0, 0.0, -1.0]])
    codes = quantize_channel(weight, algorithm)["weight"]
    assert codes.dtype == torch.int8
    assert codes[0, 1] == -ALGORITHMS[algorithm]
    assert codes[1, 0] == ALGORITHMS[algorithm]


def test_rows_of_zeros_and_of_denormals_stay_finite():
    tensors = quantize_channel(torch.tensor([[0.0, 0.0], [1e-45, 0.0], [1.0, 2.0]]), "rtn")
    assert bool(tensors["weight_scale"].isfinite().all())
    assert bool((tensors["weight_scale"] > 0).all())
    assert torch.equal(dequantize_channel(tensors, torch.float32)[0], torch.zeros(2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(bad):
    with pytest.raises(InputError, match="1 of 2 rows"):
        quantize_channel(torch.tensor([[1.0, bad], [1.0, 2.0]]), "rtn")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_any_floating_type_is_quantized_in_float32(dtype):
    weight = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    tensors = quantize_channel(weight, "rtn")
    assert tensors["weight_scale"].dtype == torch.float32
    assert torch.equal(tensors["weight"], quantize_channel(weight.float(), "rtn")["weight"])


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_canonical_tensors_have_the_names_and_the_bytes_that_the_scheme_says(scheme):
    weight = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    algorithm = "rtn" if scheme.is_quantized else "none"
    tensors = quantize_weight(weight, scheme, algorithm)
    assert tuple(tensors) == canonical_names(scheme)
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    assert held == scheme.weight_bytes(6, 10, "float32")


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_quantizing_what_was_dequantized_changes_nothing(scheme):
    weight = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    algorithm = "rtn" if scheme.is_quantized else "none"
    once = quantize_weight(weight, scheme, algorithm)
    twice = quantize_weight(dequantize_weight(once, scheme, torch.float32), scheme, algorithm)
    assert torch.equal(once["weight"], twice["weight"])
