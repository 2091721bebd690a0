"""Codes are shared between layers that read the same tensor, and never go stale."""

import copy
import gc
import threading

import pytest
import torch
from torch import nn

from qprobe.layers import _sharing
from qprobe.layers._sharing import SharedInput, quantize_shared


@pytest.fixture
def count(monkeypatch):
    calls = []
    exact = _sharing.quantize_tokens

    def counting(x, form):
        calls.append(form)
        return exact(x, form)

    monkeypatch.setattr(_sharing, "quantize_tokens", counting)
    return calls


def test_the_same_tensor_is_quantized_once(count):
    x = torch.randn(3, 8)
    with torch.no_grad():
        first, second = quantize_shared(x, "uint8"), quantize_shared(x, "uint8")
    assert first[0] is second[0]
    assert len(count) == 1


def test_a_tensor_changed_in_place_is_quantized_again(count):
    x = torch.randn(3, 8)
    with torch.no_grad():
        _, before = quantize_shared(x, "uint8")
        x.mul_(2)
        _, after = quantize_shared(x, "uint8")
    assert torch.equal(after, 2 * before)


def test_a_change_through_a_view_is_seen(count):
    x = torch.randn(3, 8)
    with torch.no_grad():
        quantize_shared(x, "uint8")
        x[0].zero_()
        codes, _ = quantize_shared(x, "uint8")
    assert bool((codes[0] == 128).all())


def test_another_form_is_another_quantization(count):
    x = torch.randn(3, 8)
    with torch.no_grad():
        assert quantize_shared(x, "uint8")[0].dtype == torch.uint8
        assert quantize_shared(x, "int8")[0].dtype == torch.int8


def test_equal_values_in_another_tensor_are_not_taken_for_it(count):
    x = torch.randn(3, 8)
    with torch.no_grad():
        quantize_shared(x, "uint8")
        quantize_shared(x.clone(), "uint8")
    assert len(count) == 2


def test_tensors_that_do_not_count_changes_are_quantized_each_time(count):
    with torch.inference_mode():
        x = torch.randn(3, 8)
        quantize_shared(x, "uint8")
        x.mul_(2)
        _, scale = quantize_shared(x, "uint8")
        assert torch.equal(scale, x.abs().amax(-1, keepdim=True) / 127)
    assert len(count) == 2


def test_the_layers_of_a_group_share_them_once_each(count):
    group, query, key = SharedInput(), object(), object()
    with torch.inference_mode():
        x = torch.randn(3, 8)
        first = quantize_shared(x, "uint8", query, group)
        assert quantize_shared(x, "uint8", key, group)[0] is first[0]
        assert len(count) == 1
        x.mul_(2)
        for layer in (query, key):  # the next forward pass, in the same memory
            _, scale = quantize_shared(x, "uint8", layer, group)
            assert torch.equal(scale, x.abs().amax(-1, keepdim=True) / 127)
    assert len(count) == 2


@pytest.mark.parametrize("what", ["group", "form", "tensor"])
def test_another_group_or_form_or_tensor_that_does_not_count_is_another_quantization(count, what):
    group = SharedInput()
    with torch.inference_mode():
        x = torch.randn(3, 8)
        quantize_shared(x, "uint8", object(), group)
        quantize_shared(
            x.clone() if what == "tensor" else x,
            "int8" if what == "form" else "uint8",
            object(),
            SharedInput() if what == "group" else group,
        )
    assert len(count) == 2


def test_copies_of_layers_share_with_one_another_and_not_with_the_originals():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
    for layer in layers:
        layer.shared_input = shared = layers[0].__dict__.get("shared_input", SharedInput())
    first, second = copy.deepcopy(layers)
    assert first.shared_input is second.shared_input is not shared


def test_codes_are_freed_with_their_input():
    x = torch.randn(3, 8)
    with torch.no_grad():
        quantize_shared(x, "uint8")
    with torch.inference_mode():
        y = torch.randn(3, 8)
        quantize_shared(y, "uint8", object(), SharedInput())
    assert _sharing._last.entry is not None
    assert _sharing._last.uncounted is not None
    del x, y
    gc.collect()
    assert _sharing._last.entry is None
    assert _sharing._last.uncounted is None


def test_threads_do_not_see_each_other():
    x = torch.randn(3, 8)
    found = []
    with torch.no_grad():
        quantize_shared(x, "uint8")
        thread = threading.Thread(target=lambda: found.append(_sharing._last.entry))
        thread.start()
        thread.join()
    assert found == [None]
