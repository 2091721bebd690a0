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


@pytest.fixture(params=["no_grad", "inference_mode"])
def mode(request):
    """Tensors that count their changes, and tensors that do not."""
    with getattr(torch, request.param)():
        yield request.param


class Group:
    """Layers that read one tensor, each once in a forward pass."""

    def __init__(self):
        self.shared, self.layers = SharedInput(), []

    def read(self, x, form="uint8", layer=None):
        self.layers.append(layer or object())
        return quantize_shared(x, form, self.layers[-1], self.shared)


def test_the_layers_of_a_group_quantize_what_they_read_once(count, mode):
    group, x = Group(), torch.randn(3, 8)
    first = group.read(x)
    assert group.read(x)[0] is first[0]
    assert len(count) == 1


def test_layers_of_no_group_quantize_for_themselves(count, mode):
    x = torch.randn(3, 8)
    for _ in range(2):
        quantize_shared(x, "uint8", object())
    assert len(count) == 2


def change_counted(x, values):
    x.copy_(values)


def change_data(x, values):
    x.data.copy_(values)


def change_memory(x, values):
    x.numpy()[:] = values.numpy()


@pytest.mark.parametrize("change", [change_counted, change_data, change_memory])
def test_another_forward_pass_in_the_same_memory_quantizes_anew(count, mode, change):
    """As replays of a CUDA graph write what is outside of it: torch does not count that."""
    group, layers = Group(), (object(), object())
    x = torch.empty(3, 8)
    for _ in range(3):
        change(x, torch.randn(3, 8))
        for layer in layers:
            _, scale = group.read(x, layer=layer)
            assert torch.equal(scale, x.abs().amax(-1, keepdim=True) / 127)
    assert len(count) == 3


@pytest.mark.parametrize("change", [lambda x: x.mul_(2), lambda x: x[0].zero_()])
def test_a_change_that_is_counted_is_seen_within_a_pass(count, change):
    group, x = Group(), torch.randn(3, 8)
    with torch.no_grad():
        group.read(x)
        change(x)
        codes, scale = group.read(x)
    wanted, wanted_scale = _sharing.quantize_tokens(x, "uint8")
    assert torch.equal(codes, wanted)
    assert torch.equal(scale, wanted_scale)


@pytest.mark.parametrize("what", ["group", "form", "tensor"])
def test_another_group_or_form_or_tensor_is_another_quantization(count, mode, what):
    group, x = Group(), torch.randn(3, 8)
    group.read(x)
    codes, _ = (Group() if what == "group" else group).read(
        x.clone() if what == "tensor" else x, "int8" if what == "form" else "uint8"
    )
    assert codes.dtype == (torch.int8 if what == "form" else torch.uint8)
    assert len(count) == 2


def test_copies_of_layers_share_with_one_another_and_not_with_the_originals():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))
    for layer in layers:
        layer.shared_input = shared = layers[0].__dict__.get("shared_input", SharedInput())
    first, second = copy.deepcopy(layers)
    assert first.shared_input is second.shared_input is not shared


def test_codes_are_freed_with_their_input(mode):
    x = torch.randn(3, 8)
    Group().read(x)
    assert _sharing._last.holder.entry is not None
    del x
    gc.collect()
    assert _sharing._last.holder.entry is None


def test_codes_are_freed_by_whichever_thread_drops_their_input():
    kept, holders = [torch.randn(3, 8)], []

    def read():
        Group().read(kept[0])
        holders.append(_sharing._last.holder)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert holders[0].entry is not None
    kept.clear()
    gc.collect()
    assert holders[0].entry is None


def test_threads_do_not_see_each_other():
    x, found = torch.randn(3, 8), []
    Group().read(x)
    thread = threading.Thread(target=lambda: found.append(_sharing._last.holder.entry))
    thread.start()
    thread.join()
    assert found == [None]
