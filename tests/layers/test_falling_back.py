"""Where the planned kernel cannot compute a layer any more, the reference does, and it comes back where it can."""

import io
import logging
from dataclasses import replace

import pytest
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.errors import PlanMismatchError
from qprobe.kernels.registry import get_kernel
from qprobe.layers import _linear, make_layer
from tests.layers.ranges import every

LIMIT = 63
KERNEL = "cpu.int_mm"


@pytest.fixture
def linear():
    return torch.nn.Linear(64, 32).requires_grad_(False)


def make(linear, algorithm):
    return make_layer(linear, SCHEMES["W8A8"], algorithm, every(KERNEL), torch.float32)


@pytest.fixture
def plant(monkeypatch):
    """Gives the kernel a largest code, or a reason to be absent, whatever this processor is."""

    def plant(limit=None, words=""):
        kernel = replace(get_kernel(KERNEL), max_code=lambda: limit, absent=lambda _device: words)
        known = {KERNEL: kernel, "reference": _linear.REFERENCE}
        monkeypatch.setattr(_linear, "get_kernel", known.get)

    plant()
    return plant


def kernels(layer):
    return [item.kernel for item in layer.ranges]


def test_loaded_codes_that_would_be_clipped_go_to_the_reference(linear, plant, caplog):
    wide = make(linear, "rtn")
    plant(LIMIT)
    layer = make(linear, "rtn_reduce_range")
    assert kernels(layer) == [KERNEL]
    with caplog.at_level(logging.WARNING, "qprobe"):
        layer.load_state_dict(wide.state_dict())
    assert kernels(layer) == ["reference"]
    assert f"it multiplies codes up to {LIMIT} exactly here, the weight has 127" in caplog.text
    x = torch.randn(5, 64) * 3
    exact = x @ wide.dequantize().T + wide.bias
    assert (layer(x) - exact).norm() < 0.01 * exact.norm()
    layer.load_state_dict(make(linear, "rtn_reduce_range").state_dict())
    assert kernels(layer) == [KERNEL]


def test_a_negative_code_counts_by_its_magnitude(linear, plant):
    plant(LIMIT)
    layer = make(linear, "rtn_reduce_range")
    state = layer.state_dict()
    state["weight"] = torch.full_like(state["weight"], -128)
    layer.load_state_dict(state)
    assert kernels(layer) == ["reference"]


def test_codes_that_would_be_clipped_are_refused_where_a_layer_is_made(linear, plant):
    plant(LIMIT)
    with pytest.raises(PlanMismatchError, match=f"up to {LIMIT} exactly here"):
        make(linear, "rtn")


def test_a_layer_is_unpickled_where_its_kernel_is_missing(linear, plant):
    layer, file = make(linear, "rtn"), io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    plant(words="its instructions are missing here")
    again = torch.load(file, weights_only=False)
    assert kernels(again) == ["reference"]
    x = torch.randn(5, 64)
    assert torch.allclose(again(x), x @ layer.dequantize().T + layer.bias, atol=1e-5)
    plant()
    assert kernels(again.to("cpu")) == [KERNEL]


def test_the_planned_kernel_comes_back_with_the_type_that_it_takes():
    linear = torch.nn.Linear(128, 32).requires_grad_(False).to(torch.bfloat16)
    kernel = "cpu.int4pack"
    layer = make_layer(linear, SCHEMES["W4A16"], "rtn", every(kernel), torch.bfloat16)
    assert kernels(layer.float()) == ["reference"]
    assert kernels(layer.bfloat16()) == [kernel]
