"""What results are written to is as torch hands it out, by whichever way it comes."""

import pytest
import torch
from torch._C._dynamo import guards

from qprobe.kernels.cuda import _allocation
from qprobe.kernels.cuda._allocation import make_allocator

CPU = torch.device("cpu")
SHAPES = [(1, 1024), (3, 5, 7), (16,), (2, 1, 1)]


@pytest.fixture
def unknown():
    """Nothing is known of torch's private function, before and after."""
    _allocation._find_maker.cache_clear()
    yield
    _allocation._find_maker.cache_clear()


@pytest.fixture(params=["fast", "absent", "changed"])
def way(request, monkeypatch, unknown):
    if request.param == "absent":
        monkeypatch.delattr(guards, "_empty_strided_cpu")
    elif request.param == "changed":
        monkeypatch.setattr(
            guards, "_empty_strided_cpu", lambda shape, *_: torch.empty(shape, dtype=torch.int8)
        )
    return request.param


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_inference", [False, True])
def test_it_is_what_new_empty_gives(way, shape, dtype, is_inference):
    with torch.inference_mode(is_inference):
        x = torch.ones(2, 3)
        made, wanted = make_allocator(shape, dtype, CPU)(x), x.new_empty(*shape, dtype=dtype)
    for name in ("shape", "dtype", "device", "requires_grad"):
        assert getattr(made, name) == getattr(wanted, name)
    assert made.stride() == wanted.stride()
    assert made.is_inference() == wanted.is_inference() == is_inference
    assert made.data_ptr() % 16 == 0


def test_it_is_filled_where_torch_fills(way):
    torch.use_deterministic_algorithms(True)
    try:
        assert make_allocator((4, 5), torch.float32, CPU)(torch.ones(1)).isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)


def test_it_is_on_the_device_of_x_whichever_is_current(monkeypatch):
    """The private function makes its tensors on the current card."""
    asked = []
    here = torch.device("cuda", 1)
    monkeypatch.setattr(_allocation, "_find_maker", lambda _: lambda *_: asked.append("fast"))

    class Beside:
        def new_empty(self, *_, **__):
            asked.append("slow")

    for current in (0, 1):
        monkeypatch.setattr(torch._C, "_cuda_getDevice", lambda own=current: own, raising=False)
        make_allocator((2, 2), torch.float16, here)(Beside())
    assert asked == ["slow", "fast"]
