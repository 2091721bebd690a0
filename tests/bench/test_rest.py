"""What stands for the linears while the rest of a model is timed."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from qprobe.bench import _rest


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1024, 1027])
@pytest.mark.parametrize("bias", [True, False])
def test_a_large_linear_reads_as_many_bytes_as_one_of_8_bits(monkeypatch, dtype, n, bias):
    linear, x = nn.Linear(1024, n, bias, dtype=dtype), torch.randn(2, 3, 1024, dtype=dtype)
    seen = []
    true = functional.linear

    def recording(x, weight, bias=None):
        seen.append(weight.numel() * weight.element_size())
        return true(x, weight, bias)

    monkeypatch.setattr(_rest.functional, "linear", recording)
    y = _rest._narrow(linear)(x)
    assert y.shape == (2, 3, n)
    assert y.is_contiguous()
    assert n * 1024 <= sum(seen) <= (n + dtype.itemsize) * 1024
    computed = -(-n // dtype.itemsize)
    monkeypatch.undo()
    assert torch.equal(
        y[..., :computed],
        functional.linear(
            x, linear.weight[:computed], None if linear.bias is None else linear.bias[:computed]
        ),
    )


def test_a_small_linear_computes_what_it_is_asked_for():
    """It may be a router, which has to choose its experts as it does."""
    router, x = nn.Linear(64, 8, dtype=torch.bfloat16), torch.randn(5, 64, dtype=torch.bfloat16)
    assert torch.equal(_rest._narrow(router)(x), router(x))
