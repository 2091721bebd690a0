"""Calls that go straight to a launch made ready before, and what must not go to that one."""

import copy
import gc
import io
import threading
import weakref

import pytest
import torch
from torch import nn

from qprobe.kernels.cuda import _products
from qprobe.layers import _bound
from tests.kernels.cuda.bound import is_right, make, rows


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_what_is_like_the_last_goes_straight_to_the_kernel(layer, on_processor, long_ways, mode):
    x = rows(seed=3)
    with mode():
        y = layer(x)
    assert long_ways == []
    assert len(on_processor.launched) == 1
    assert is_right(layer, x, y)


ODD = {
    "more rows": lambda: rows(5),
    "a vector": lambda: rows()[0],
    "one more dimension": lambda: rows()[None],
    "none": lambda: rows(0),
    "single precision": lambda: rows(dtype=torch.float32),
    "double precision": lambda: rows(dtype=torch.float64),
    "every second": lambda: torch.randn(2, 512).half()[:, ::2],
    "columns first": lambda: torch.randn(256, 2).half().t(),
    "an odd address": lambda: torch.randn(513).half()[1:].reshape(2, 256),
    "a negative view": lambda: torch._neg_view(rows()),
    "zeros without memory": lambda: torch._efficientzerotensor(2, 256, dtype=torch.float16),
    "a parameter": lambda: nn.Parameter(rows(), requires_grad=False),
    "one that wants its gradient": lambda: rows().requires_grad_(),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_not_like_the_last_is_computed_as_it_should_be(layer, name):
    x, usual = ODD[name](), rows(seed=5)
    with torch.no_grad():
        for _ in range(3):
            assert is_right(layer, x.detach().resolve_neg().clone(), layer(x))
            assert is_right(layer, usual, layer(usual))


def test_kinds_that_take_turns_are_each_made_ready_once(layer, long_ways, monkeypatch):
    added, exact = [], _bound.Bound.add

    def listen(*given):
        added.append(given)
        return exact(*given)

    monkeypatch.setattr(_bound.Bound, "add", listen)
    kinds = [rows(3), rows(4), rows(5, dtype=torch.float32)]
    with torch.no_grad():
        for x in kinds * 3:
            assert is_right(layer, x, layer(x))
    assert len(added) == 3


def test_only_so_many_kinds_are_kept(layer, monkeypatch):
    monkeypatch.setattr(_bound, "SHAPES", 2)
    with torch.no_grad():
        for count in range(1, 6):
            assert is_right(layer, rows(count), layer(rows(count)))
            assert len(layer._bound._starts) <= 2


def test_under_inference_mode_and_out_of_it(layer):
    x = rows(seed=4)
    for _ in range(2):
        with torch.inference_mode():
            assert layer(x).is_inference()
            made = rows(seed=4)
            assert is_right(layer, made, layer(made))
        with torch.no_grad():
            assert not layer(x).is_inference()
        assert torch.equal(layer(made), layer(x))


def test_autocast_changes_nothing(layer):
    x = rows()
    with torch.no_grad():
        y = layer(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(layer(x), y)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.zeros(2, 255, dtype=torch.float16), ValueError, "x has 255 features"),
        (torch.zeros(2, 256, dtype=torch.int32), TypeError, "floating-point"),
        (torch.zeros(2, 256, dtype=torch.float16, device="meta"), ValueError, "x is on meta"),
    ],
)
def test_what_no_kernel_may_see_is_refused(layer, x, error, words):
    with torch.no_grad(), pytest.raises(error, match=words):
        layer(x)


def test_loaded_weights_are_those_that_are_used(layer):
    other = make(seed=9)
    layer.load_state_dict(other.state_dict())
    with torch.no_grad():
        assert torch.equal(layer(rows()), other(rows()))


def test_a_packed_tensor_with_other_memory_is_read_there(layer):
    other = make(seed=9)
    other.bias.copy_(layer.bias)
    for mine, new in zip(layer._packed, other._packed, strict=True):
        mine.data = new.clone()
    with torch.no_grad():
        assert torch.equal(layer(rows()), other(rows()))


def test_nothing_holds_the_packing_that_was_replaced(layer):
    former = weakref.ref(layer._packed[0])
    gc.disable()
    try:
        layer.load_state_dict(make(seed=9).state_dict())
        assert former() is None
    finally:
        gc.enable()


def swap_data(layer):
    layer.bias.data = torch.ones(70, dtype=torch.float16)


def swap_type(layer):
    layer.bias.data = layer.bias.data.float()


def swap_strided(layer):
    layer.bias.data = torch.randn(140).half()[::2]


def swap_odd(layer):
    layer.bias.data = torch.randn(71).half()[1:]


def swap_parameter(layer):
    layer.bias = nn.Parameter(torch.ones(70, dtype=torch.float16), requires_grad=False)


def swap_none(layer):
    layer.bias = None


def move(layer):
    layer.to("meta")
    state = make(seed=9).state_dict()
    layer.load_state_dict(state, assign=True)


@pytest.mark.parametrize(
    "swap", [swap_data, swap_type, swap_strided, swap_odd, swap_parameter, swap_none, move]
)
def test_a_bias_that_was_changed_is_the_one_that_is_added(layer, swap):
    swap(layer)
    with torch.no_grad():
        for _ in range(2):
            assert is_right(layer, rows(), layer(rows()))


def test_what_lies_at_an_odd_address_is_copied_to_an_even_one(layer, monkeypatch):
    copied, exact = [], _products.align
    monkeypatch.setattr(_products, "align", lambda matrix: copied.append(matrix) or exact(matrix))
    with torch.no_grad():
        layer(rows())
        assert copied == []
        layer(ODD["an odd address"]())
        assert len(copied) == 2
        swap_odd(layer)
        layer(rows())
    assert len(copied) == 4
    assert all(exact(matrix).data_ptr() % 16 == 0 for matrix in copied)


def test_a_bias_given_to_a_layer_without_one_is_added(layer):
    layer.bias = None
    with torch.no_grad():
        assert is_right(layer, rows(), layer(rows()))
        layer.bias = nn.Parameter(torch.ones(70, dtype=torch.float16), requires_grad=False)
        assert is_right(layer, rows(), layer(rows()))


def test_a_copy_has_launches_of_its_own(layer):
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    with torch.no_grad():
        y = layer(rows())
        for other in (copy.deepcopy(layer), torch.load(buffer, weights_only=False)):
            assert other._bound is not layer._bound
            assert torch.equal(other(rows()), y)


def test_each_thread_has_arguments_of_its_own(layer):
    starts, results = [layer._bound.recent], []

    def call():
        with torch.no_grad():
            results.extend(layer(rows()) for _ in range(2))
        starts.append(layer._bound.recent)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    call()
    assert starts[0] is starts[2]
    assert starts[1].multiply is not starts[0].multiply
    assert all(torch.equal(y, results[0]) for y in results)


def test_who_packs_anew_meanwhile_finds_nothing_old(layer, monkeypatch):
    x, exact = rows(3), _bound.Bound.add

    def add_late(*given):
        monkeypatch.setattr(_bound.Bound, "add", exact)
        layer.load_state_dict(make(seed=9).state_dict())
        return exact(*given)

    monkeypatch.setattr(_bound.Bound, "add", add_late)
    with torch.no_grad():
        layer(x)
        assert is_right(layer, x, layer(x))


def test_a_torch_without_guards_computes_the_same(layer, monkeypatch, long_ways):
    with torch.no_grad():
        y = layer(rows())
        monkeypatch.setattr(_bound, "_guards", None)
        other = copy.deepcopy(layer)
        for _ in range(2):
            assert torch.equal(other(rows()), y)
    assert len(long_ways) == 2


def test_this_torch_has_guards():
    assert _bound._find_guards() is not None


def test_codes_are_made_and_multiplied_straight_away_too(on_processor, long_ways):
    layer = make("W8A8", "cuda.gemm_s8_mma")
    with torch.no_grad():
        first = layer(rows())
        assert torch.equal(layer(rows()), first)
        y = layer(rows(seed=3))
    assert len(long_ways) == 1
    exact = rows(seed=3).double() @ layer.dequantize(torch.float64).T + layer.bias.double()
    assert float((y - exact).norm()) <= 2e-2 * float(exact.norm())
