"""Weights, activations and circumstances that nobody wishes for: right numbers or one clear error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from qprobe.documents.scheme import SCHEMES
from qprobe.errors import InputError, QprobeError
from qprobe.layers._linear import PlannedLinear
from tests.layers import hostile
from tests.layers.hostile import error, make, multiply, random_linear, tolerance, ways

N, K = 48, 128
EVERY_WAY = pytest.mark.parametrize("way", ways(N, K), ids=lambda way: way.id)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return random_linear(N, K)


@pytest.fixture
def x(way):
    return torch.randn(6, K, generator=torch.Generator().manual_seed(1)).to(way.dtype)


def refusal_of(call):
    """The words of one clear error, or "" where there is none."""
    try:
        call()
    except QprobeError as refusal:
        return str(refusal) or pytest.fail("refused without a word")
    return ""


def test_every_kernel_of_this_machine_is_tried():
    assert {way.kernel.id for way in ways(N, K)} == {kernel.id for _, kernel in hostile.present()}
    assert {way.scheme for way in ways(N, K)} == set(SCHEMES)


@pytest.mark.parametrize("check", hostile.CHECKS)
def test_in_a_process_of_its_own(check):
    """Shapes that a kernel could read beyond, more threads than cores, a fork after use."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.layers.hostile", check],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    tried = done.stdout.splitlines()
    assert tried, done.stderr
    assert done.returncode == 0, f"{tried[-1]}: {done.stderr[-2000:]}"
    assert [line for line in tried if line.startswith(hostile.WRONG)] == []


@EVERY_WAY
class TestWeights:
    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_that_are_not_finite_are_refused_or_multiplied_as_they_are(self, linear, x, way, bad):
        linear.weight[3, 5] = bad
        if SCHEMES[way.scheme].is_quantized:
            with pytest.raises(InputError, match="NaN or infinit"):
                way.make(linear)
            return
        finite = way.make(linear)(x).isfinite()
        assert torch.equal(finite, multiply(x, linear).isfinite())

    def test_of_zeros_give_the_bias(self, linear, x, way):
        linear.weight.zero_()
        y = way.make(linear)(x)
        assert torch.allclose(y.float(), linear.bias.expand_as(y), rtol=1e-2, atol=1e-2)

    @pytest.mark.parametrize("value", [1.0, -3.0, 0.1, 1e-30, -1e30])
    def test_of_constant_rows(self, linear, x, way, value):
        linear.weight[:] = value
        linear.weight[::2] = -value
        linear.bias.zero_()
        if way.scheme == "FP16" and abs(value) > 65504:
            with pytest.raises(InputError, match="float16"):
                way.make(linear)
            return
        layer = way.make(linear)
        found = error(layer(x), x, linear)
        # float16 holds nothing as small as 1e-30, and says 0.
        assert found < tolerance(way.scheme) or (way.scheme == "FP16" and value == 1e-30)

    def test_of_rows_that_differ_by_many_powers_of_ten(self, linear, x, way):
        linear.weight *= torch.logspace(-4, 4, N).unsqueeze(1)
        linear.bias.zero_()
        distance = way.make(linear)(x).double() - multiply(x, linear)
        by_row = distance.norm(dim=0) / (x.norm() * linear.weight.norm(dim=1))
        assert float(by_row.max()) < tolerance(way.scheme)

    @pytest.mark.parametrize("largest", [1e30, 3e38])
    def test_as_large_as_float32_holds_are_refused_or_right(self, linear, x, way, largest):
        linear.weight.div_(linear.weight.abs().max()).mul_(largest)
        if words := refusal_of(lambda: way.make(linear)):
            assert "above" in words
            return
        layer = way.make(linear)
        tiny = x * 1e-30
        assert error(layer(tiny), tiny, linear) < tolerance(way.scheme)

    def test_in_float64_beyond_float32_are_refused_or_right(self, linear, x, way):
        wide = nn.Linear(K, N, dtype=torch.float64).requires_grad_(False)
        wide.weight[:] = linear.weight.double() * 1e100
        wide.bias.zero_()
        if words := refusal_of(lambda: make(wide, way.scheme, way.kernel, torch.float64)):
            assert "above" in words or way.kernel.id in words
            return
        layer = make(wide, way.scheme, way.kernel, torch.float64)
        small = x.double() * 1e-100
        assert error(layer(small), small, wide) < tolerance(way.scheme)

    def test_that_are_not_contiguous(self, linear, x, way):
        linear.weight = nn.Parameter(linear.weight.t().contiguous().t(), requires_grad=False)
        assert not linear.weight.is_contiguous()
        layer = way.make(linear)
        assert error(layer(x), x, linear) < tolerance(way.scheme)


@EVERY_WAY
class TestActivations:
    @pytest.mark.parametrize("shape", [(0, K), (2, 0, K), (0, 0, K)])
    def test_without_rows(self, linear, way, shape):
        y = way.make(linear)(torch.empty(shape, dtype=way.dtype))
        assert y.shape == (*shape[:-1], N)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
    def test_that_are_no_real_numbers_are_refused(self, linear, way, dtype):
        layer = way.make(linear)
        kind = TypeError if isinstance(layer, PlannedLinear) else RuntimeError  # torch's own
        with pytest.raises(kind, match=r"floating-point|same dtype"):
            layer(torch.ones(2, K, dtype=dtype))

    @pytest.mark.parametrize("shape", [(), (K + 1,), (2, K - 1), (K, 2), (2, 1)])
    def test_of_the_wrong_width_are_refused(self, linear, way, shape):
        layer = way.make(linear)
        kind = ValueError if isinstance(layer, PlannedLinear) else RuntimeError  # torch's own
        with pytest.raises(kind, match=f"the layer takes {K}|multiplied|at least 1D"):
            layer(torch.ones(shape, dtype=way.dtype))

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_that_are_not_finite_spoil_their_own_row_only(self, linear, x, way, bad):
        layer = way.make(linear)
        clean = layer(x)
        x = x.clone()
        x[2, 3] = bad
        y = layer(x)
        others = [row for row in range(len(x)) if row != 2]
        assert not bool(y[2].isfinite().any())
        assert torch.allclose(y[others], clean[others], rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("factor", [0.0, 1e-30, 1e30])
    def test_of_any_size(self, linear, x, way, factor):
        linear.bias.zero_()
        layer = way.make(linear)
        x = x * factor
        if way.scheme == "FP16":  # What float16 does not hold is 0 or infinite, as in any cast.
            expected = functional.linear(x.half(), linear.weight.half())
            assert torch.equal(layer(x).isfinite(), expected.isfinite())
            return
        assert error(layer(x), x, linear) < tolerance(way.scheme)

    def test_with_one_outlier_lose_the_rest_of_their_row_at_most(self, linear, x, way):
        layer = way.make(linear)
        x = x.clone()
        x[1, 7] = 1e4
        y, others = layer(x), [0, 2, 3, 4, 5]
        assert error(y, x, linear) < tolerance(way.scheme)
        assert error(y[others], x[others], linear) < tolerance(way.scheme)


PLANNED = pytest.mark.parametrize(
    "way", [way for way in ways(N, K) if way.id != "NONE-reference"], ids=lambda way: way.id
)
"""All but the linear that stays as it is."""


@PLANNED
@pytest.mark.parametrize("size", [1, N - 1, N + 1])
def test_a_bias_of_another_length_is_never_read(linear, way, x, size):
    layer = way.make(linear)
    layer.bias = nn.Parameter(torch.ones(size, dtype=way.dtype), requires_grad=False)
    with pytest.raises(
        ValueError, match=f"the bias has {size} elements on cpu, the layer takes {N}"
    ):
        layer(x)


@PLANNED
def test_a_bias_on_another_device_is_never_read(linear, way, x):
    layer = way.make(linear)
    layer.bias = nn.Parameter(torch.ones(N, device="meta"), requires_grad=False)
    with pytest.raises(ValueError, match="elements on meta, the layer takes 48 on cpu"):
        layer(x)


@PLANNED
def test_data_parallel_is_refused_in_words(linear, way):
    with pytest.raises(QprobeError, match="DataParallel") as caught:
        way.make(linear)._replicate_for_data_parallel()
    assert "one process a GPU" in caught.value.hint
