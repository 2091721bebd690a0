"""The quantizer gives what `quantize_tokens` gives, bit for bit, and codes of 0 in the padding."""

import numpy as np
import pytest
import torch

from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.cuda.manifest import find_kernels, read_manifest
from tests.emulator.floats import DTYPES
from tests.emulator.launch import SCHEDULES, run

KERNEL = find_kernels()["quantize_tokens"]
ACTIVATIONS = read_manifest(KERNEL).activations


def quantize(x, schedule="eager"):
    """Codes (M, N) and scales (M,) by the kernel."""
    m, k = x.shape
    activation = str(x.dtype).removeprefix("torch.")
    bits = x.numpy() if activation == "float32" else x.view(torch.int16).numpy()
    codes = np.full((m, -(-k // 16) * 16), 0x55, np.int8)
    scale = np.full(m, np.nan, np.float32)
    arguments = {"x": bits, "y": codes, "y_scale": scale, "m": m, "k": k, "n": codes.shape[1]}
    run(KERNEL, "", activation, arguments, schedule=schedule)
    assert not codes[:, k:].any()
    return torch.from_numpy(codes[:, :k]), torch.from_numpy(scale[:, None])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_as_the_reference(activation, schedule):
    generator = torch.Generator().manual_seed(1)
    for m, k in ((1, 1), (3, 7), (5, 16), (4, 255), (2, 1000), (2, 4096), (1, 8200), (1, 9001)):
        x = torch.randn(m, k, generator=generator) * torch.logspace(-4, 4, m)[:, None]
        x[0, -1] = 60.0
        if m > 2:
            x[1] = 0.0
            x[2] = -x[2].abs()
        x = x.to(DTYPES[activation])
        codes, scale = quantize(x, schedule)
        wanted_codes, wanted_scale = quantize_tokens(x, "int8")
        assert torch.equal(codes, wanted_codes), (m, k)
        assert torch.equal(scale, wanted_scale), (m, k)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_halves_are_rounded_to_even(activation):
    x = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, 127.0]]).to(DTYPES[activation])
    codes, scale = quantize(x)
    assert codes.tolist() == [[0, 2, 2, 0, -2, 127]]
    assert scale.item() == 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("k", [24, 31])
def test_what_is_not_finite_carries_its_own_row_away(activation, k):
    x = torch.ones(4, k)
    x[0, 3], x[1, -1], x[2, 0] = torch.nan, torch.inf, -torch.inf
    _, scale = quantize(x.to(DTYPES[activation]))
    assert torch.isnan(scale[0])
    assert torch.isinf(scale[1:3]).all()
    assert scale[3].item() == np.float32(1) / np.float32(127)


def test_the_smallest_numbers_do_not_divide_by_zero():
    x = torch.full((1, 16), 1e-42)
    codes, scale = quantize(x)
    wanted_codes, wanted_scale = quantize_tokens(x, "int8")
    assert torch.equal(codes, wanted_codes)
    assert torch.equal(scale, wanted_scale)
