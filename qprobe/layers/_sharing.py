"""Layers that read the same tensor quantize it once."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass

import torch
from torch import Tensor

from qprobe.kernels.activations import quantize_tokens

_Codes = tuple[Tensor, Tensor]
_Entry = tuple[weakref.ref[Tensor], tuple[int, int], str, _Codes]
"""A tensor, its version and stream, the form of its codes, and they. Built at each call: a bare tuple."""


class SharedInput:
    """Stands for the tensor that the layers of one fusion group read, one after the other.

    Each copy of a model has its own. By the model's own code nothing changes the tensor between
    them, which is to be known where tensors do not count their changes.
    """


@dataclass(frozen=True)
class _Uncounted:
    """What was quantized of a tensor that does not count its changes."""

    source: weakref.ref[Tensor]
    group: SharedInput
    stream: int
    form: str
    codes: _Codes
    readers: set[int]
    """The layers that have read it. One that reads again belongs to another forward pass."""


class _LastInput(threading.local):
    """The last inputs of this thread, for as long as they live."""

    entry: _Entry | None = None
    uncounted: _Uncounted | None = None


_last = _LastInput()


def quantize_shared(
    x: Tensor, form: str, layer: object = None, group: SharedInput | None = None
) -> _Codes:
    """`quantize_tokens(x, form)`, or what it gave for this very tensor if nothing has changed it.

    Tensors made under inference_mode do not count their changes: only the layers of one group share
    what they read, each once in a forward pass. What a CUDA graph is captured with must not depend
    on what was computed before, and codes that another stream computes may not be there yet: neither
    is shared.
    """
    if x.is_cuda and torch.cuda.is_current_stream_capturing():
        return quantize_tokens(x, form)
    if x.is_inference():
        return quantize_tokens(x, form) if group is None else _quantize(x, form, layer, group)
    entry, version = _last.entry, (x._version, _stream_of(x))
    if entry is not None and entry[0]() is x and entry[1] == version and entry[2] == form:
        return entry[3]
    codes = quantize_tokens(x, form)
    _last.entry = (weakref.ref(x, _forget), version, form, codes)
    return codes


def _quantize(x: Tensor, form: str, layer: object, group: SharedInput) -> _Codes:
    """The same of a tensor that does not count its changes."""
    last, stream, reader = _last.uncounted, _stream_of(x), id(layer)
    if (
        last is not None
        and last.source() is x
        and last.group is group
        and (last.stream, last.form) == (stream, form)
        and reader not in last.readers
    ):
        last.readers.add(reader)
        return last.codes
    codes = quantize_tokens(x, form)
    source = weakref.ref(x, _forget)
    _last.uncounted = _Uncounted(source, group, stream, form, codes, {reader})
    return codes


def _stream_of(x: Tensor) -> int:
    """The stream that computes on the device of x now; 0 for a device that has no such thing."""
    return torch._C._cuda_getCurrentRawStream(x.device.index) if x.is_cuda else 0


def _forget(source: weakref.ref[Tensor]) -> None:
    """Free the codes as soon as their input is gone."""
    if _last.entry is not None and _last.entry[0] is source:
        _last.entry = None
    if _last.uncounted is not None and _last.uncounted.source is source:
        _last.uncounted = None
