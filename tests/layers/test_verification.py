"""What is verified before it is timed is held to the types involved, and to what a kernel's hardware adds up with."""

import pytest
import torch

from qprobe.bench._candidates import Stock, _candidate
from qprobe.documents.profile import Shape
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.kernels.registry import all_kernels, get_kernel
from qprobe.layers._verification import check_layer

SHAPE = Shape(m=8, n=48, k=128)
OF_AN_H200 = 2.2e-4
"""The relative error of its tensor cores' sums of float8."""


def check(scheme, kernel, dtype, error):
    """What is said of a kernel that is off by so much: exact numbers, but for that."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(SHAPE.k, SHAPE.n)
    stored, asked = (
        _candidate(SHAPE, SCHEMES[scheme], get_kernel(name), dtype, "cpu")
        for name in ("reference", kernel)
    )
    layer, x = stored.make(linear, Stock()), torch.randn(SHAPE.m, SHAPE.k, dtype=asked.dtype)
    form = asked.kernel.input
    seen = x if form == "float" else dequantize_tokens(*quantize_tokens(x, form))
    with torch.no_grad():
        y = seen.double() @ layer.dequantize(torch.float64).T + layer.bias.double()
    signs = torch.randint(0, 2, y.shape) * 2 - 1
    return check_layer(asked.kernel, layer, x, y * (1 + error * signs))


@pytest.mark.parametrize(
    ("scheme", "kernel", "dtype", "error", "limit"),
    [
        ("FP8_DYNAMIC", "cuda.scaled_mm", "float32", 3e-3, "2e-03"),
        ("FP8_DYNAMIC", "cuda.scaled_mm", "bfloat16", 3e-2, "2e-02"),
        ("FP8_DYNAMIC", "cpu.scaled_mm", "float32", OF_AN_H200, "2e-05"),
        ("FP8_DYNAMIC", "reference", "float32", OF_AN_H200, "2e-05"),
        ("W8A8", "cuda.int_mm", "float32", OF_AN_H200, "2e-05"),
        ("W8A16", "cuda.gemv_w8a16", "float32", OF_AN_H200, "2e-05"),
        ("W8A16", "cuda.gemv_w8a16", "float16", 3e-3, "2e-03"),
    ],
)
def test_what_neither_types_nor_hardware_explain_is_wrong(scheme, kernel, dtype, error, limit):
    found = f"wrong numbers: relative error {error:.2e} against the exact product"
    assert check(scheme, kernel, dtype, error) == f"{found}, {limit} allowed"
    assert check(scheme, kernel, dtype, 0.9 * float(limit)) == ""


def test_sums_of_fewer_bits_are_not_wrong():
    assert check("FP8_DYNAMIC", "cuda.scaled_mm", "float32", OF_AN_H200) == ""


def test_no_other_kernel_asks_for_more_than_its_types_explain():
    assert {name for name, k in all_kernels().items() if k.sum_error} == {"cuda.scaled_mm"}
