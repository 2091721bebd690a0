"""Activations to codes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.kernels import activations
from qprobe.kernels.activations import ZERO_POINTS, dequantize_tokens, quantize_tokens
from qprobe.kernels.cpp._activations import FORMS, TYPES, find_quantizer


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


compiled = pytest.mark.skipif(find_quantizer() is None, reason="no C++ compiler")


@pytest.fixture
def eager(monkeypatch):
    """The quantizer as it is where nothing can be compiled."""

    def quantize(x, form):
        with monkeypatch.context() as without:
            without.setattr(activations, "find_quantizer", lambda: None)
            return quantize_tokens(x, form)

    return quantize


def every_number(dtype):
    """All 65,536 of a 16-bit type; of float32, as many with random bits, of every size."""
    if dtype == torch.float32:
        generator = torch.Generator().manual_seed(0)
        bits = torch.randint(-(2**31), 2**31, (2**16,), generator=generator)
        return bits.to(torch.int32).view(dtype)
    return torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)


def assert_same_codes(ours, theirs):
    """Bit for bit, but that a NaN may be any."""
    is_nan = [codes.float().isnan() for codes in (ours, theirs)]
    assert torch.equal(*is_nan)
    kept = [codes.view(torch.uint8)[~is_nan[0]] for codes in (ours, theirs)]
    assert torch.equal(*kept)


def assert_same_scales(ours, theirs):
    assert torch.equal(ours.isnan(), theirs.isnan())
    assert torch.equal(ours.nan_to_num(), theirs.nan_to_num())


@compiled
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_16_bit_number_is_read_as_torch_reads_it(form, dtype):
    x = every_number(dtype).view(-1, 1)
    codes, scale = quantize_tokens(x, form)
    wide, same = quantize_tokens(x.float(), form)
    assert_same_codes(codes, wide)
    assert_same_scales(scale, same)


@compiled
@pytest.mark.parametrize("peak", [448.0, 447.0, 350.0, 0.01])
@pytest.mark.parametrize("dtype", sorted(TYPES, key=str))
def test_float8_codes_are_those_of_torch(dtype, peak, eager):
    """Of every number, beside one that makes the scale 1 or something else."""
    numbers = every_number(dtype)
    x = torch.stack([numbers, torch.full_like(numbers, peak)], dim=1)
    codes, scale = quantize_tokens(x, "float8_e4m3fn")
    theirs, same = eager(x, "float8_e4m3fn")
    assert_same_codes(codes, theirs)
    assert_same_scales(scale, same)
    if peak == 448:
        within = numbers.abs() <= peak
        assert bool((scale[within] == 1).all())
        assert_same_codes(codes[within, 0], numbers[within].to(torch.float8_e4m3fn))


@compiled
@given(seed=st.integers(0, 2**31), k=st.integers(1, 300), power=st.integers(-140, 120))
@settings(max_examples=100, deadline=None)
def test_random_float8_codes_are_those_of_torch(seed, k, power):
    generator = torch.Generator().manual_seed(seed)
    spread = 2.0 ** torch.randint(-12, 1, (4, k), generator=generator)
    x = torch.randn(4, k, generator=generator) * spread * 2.0**power
    codes, scale = quantize_tokens(x, "float8_e4m3fn")
    with pytest.MonkeyPatch.context() as without:
        without.setattr(activations, "find_quantizer", lambda: None)
        theirs, same = quantize_tokens(x, "float8_e4m3fn")
    assert_same_codes(codes, theirs)
    assert_same_scales(scale, same)


@compiled
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", sorted(TYPES, key=str))
def test_float8_codes_of_what_is_not_finite_are_those_of_torch(bad, dtype, eager):
    x = torch.tensor([[1.0, bad, -2.0, 0.0], [1.0, 3.0, -0.0, 0.5]], dtype=dtype)
    for ours, theirs in zip(
        quantize_tokens(x, "float8_e4m3fn"), eager(x, "float8_e4m3fn"), strict=True
    ):
        check = assert_same_scales if ours.dtype == torch.float32 else assert_same_codes
        check(ours, theirs)


@compiled
@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("dtype", sorted(TYPES, key=str))
def test_no_copy_of_the_activations_is_made(form, dtype, monkeypatch):
    """One pass: what the quantizer reads is x itself."""
    read = []
    exact = activations.quantize_rows
    monkeypatch.setattr(
        activations, "quantize_rows", lambda q, x, form: read.append(x) or exact(q, x, form)
    )
    x = torch.randn(3, 8).to(dtype)
    quantize_tokens(x, form)
    assert read[0] is x
