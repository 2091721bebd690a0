"""The activation quantizer through its launcher, on the emulator, against the definition."""

import pytest
import torch

from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.cuda import quantizer
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.registry import kernels_for

CODED = [kernel for kernel in kernels_for("cuda") if kernel.input == "int8"]
SHAPES = [(1, 1), (3, 128), (2, 3, 97), (5, 4096), (2, 9000)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_codes_and_scales_are_those_of_the_definition(emulated, shape, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[..., 0] *= 30
    x[0] = 0
    assert quantizer.can_quantize(x, "int8")
    codes, scales = quantizer.quantize_rows(x)
    exact_codes, exact_scales = quantize_tokens(x, "int8")
    assert codes.shape == x.shape
    assert scales.shape == (*x.shape[:-1], 1)
    assert torch.allclose(scales, exact_scales, rtol=1e-6, atol=0)
    # A quotient that lies halfway may be rounded to either side.
    assert (codes.int() - exact_codes.int()).abs().max() <= 1
    assert (codes != exact_codes).float().mean() < 1e-3
    assert len(emulated.launched) == 1


def test_activations_that_lie_awkwardly(emulated):
    wide = torch.randn(4, 300)
    for x in (wide[:, 1:129], wide[:, ::2], wide.t()):
        codes, scales = quantizer.quantize_rows(x)
        assert torch.allclose(codes * scales, x, atol=float(scales.max()))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_carries_its_row_away(emulated, value):
    x = torch.randn(3, 64)
    x[1, 5] = value
    _, scales = quantizer.quantize_rows(x)
    assert not scales[1].isfinite().any()
    assert scales[[0, 2]].isfinite().all()


def test_other_codes_and_empty_activations_are_left_to_torch(emulated):
    assert not quantizer.can_quantize(torch.zeros(2, 8), "float8_e4m3fn")
    assert not quantizer.can_quantize(torch.zeros(0, 8), "int8")


def test_without_a_card_it_is_left_to_torch():
    assert not quantizer.can_quantize(torch.zeros(2, 8), "int8")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kernel", CODED, ids=lambda kernel: kernel.id)
def test_a_layer_that_is_warm_loads_nothing_to_quantize(emulated, monkeypatch, kernel, dtype):
    """The first call may be captured in a CUDA graph, where nothing can be compiled or loaded."""
    loaded = []

    def load(_self, source, name, index):
        loaded.append((source.name, name, index))
        return lambda *_: lambda _: None

    emulated.card = Card(0, "Emulated", "9.0", 4)
    monkeypatch.setattr(type(emulated), "load", load)
    kernel.warm_up(LayerSpec("W8A8", 64, 128, dtype, 127, "cuda:0"))
    before = set(loaded)
    quantizer.quantize_rows(torch.zeros(3, 128, dtype=dtype))
    assert loaded[-1][0] == "quantize_tokens"
    assert set(loaded) == before


def test_where_no_compiler_builds_it_is_left_to_torch(emulated, monkeypatch):
    monkeypatch.setattr(type(emulated), "find_build_obstacle", lambda *_: "no NVRTC")
    assert not quantizer.can_quantize(torch.zeros(2, 8), "int8")
    quantizer.warm_up(LayerSpec("W8A8", 64, 128, torch.float16, 127, "cuda:0"))
    assert emulated.launched == []
