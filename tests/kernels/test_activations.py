"""Activations to codes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.kernels.activations import ZERO_POINTS, dequantize_tokens, quantize_tokens


@pytest.mark.parametrize("form", sorted(ZERO_POINTS))
@given(
    seed=st.integers(0, 2**31),
    m=st.integers(0, 5),
    k=st.integers(1, 70),
    power=st.integers(-30, 30),
)
@settings(max_examples=60, deadline=None)
def test_each_activation_is_within_half_a_step(form, seed, m, k, power):
    x = torch.randn(m, k, generator=torch.Generator().manual_seed(seed)) * 2.0**power
    codes, scale = quantize_tokens(x, form)
    error = (dequantize_tokens(codes, scale) - x.double()).abs()
    step = x.double().abs().amax(1, keepdim=True) / 127
    if form == "float8_e4m3fn":  # Three bits behind the leading one; below 2⁻⁶, of the same size.
        step = torch.maximum(x.double().abs() / 8, scale.double() / 2**8)
    assert bool((error <= step * 0.5001).all())


@pytest.mark.parametrize("form", sorted(ZERO_POINTS))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_types_and_shapes(form, dtype):
    x = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    codes, scale = quantize_tokens(x, form)
    assert codes.dtype == getattr(torch, form)
    assert codes.shape == x.shape
    assert codes.is_contiguous()
    assert scale.shape == (2, 3, 1)
    assert scale.dtype == torch.float32


@pytest.mark.parametrize("form", sorted(ZERO_POINTS))
def test_a_row_of_zeros_stays_zero(form):
    codes, scale = quantize_tokens(torch.zeros(2, 4), form)
    assert torch.equal(dequantize_tokens(codes, scale), torch.zeros(2, 4, dtype=torch.float64))


@pytest.mark.parametrize("form", sorted(ZERO_POINTS))
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_row_that_is_not_finite_shows_it_in_its_scale(form, bad):
    _, scale = quantize_tokens(torch.tensor([[1.0, bad], [1.0, 2.0]]), form)
    assert not bool(scale[0].isfinite())
    assert bool(scale[1].isfinite())


@pytest.mark.parametrize("form", sorted(ZERO_POINTS))
def test_strided_and_expanded_inputs_give_what_their_copies_give(form):
    x = torch.randn(6, 8, generator=torch.Generator().manual_seed(2))
    for view in (x.t(), x[::2], x[:1].expand(4, 8), x[:, 1:5]):
        codes, scale = quantize_tokens(view, form)
        again, same = quantize_tokens(view.contiguous(), form)
        assert torch.equal(codes, again)
        assert torch.equal(scale, same)
