"""Memory for results: as torch hands it out, for half of the host's time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

Allocate = Callable[[Tensor], Tensor]
"""New memory beside a tensor, uninitialized."""

_fills: Callable[[], bool] = torch._C._get_deterministic_algorithms
"""Whether new memory may have to be filled, so that what is not written shows."""


def make_allocator(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Allocate:
    """What makes contiguous tensors of this shape and type on a device, where the tensor that it is given is too."""
    make = _find_maker(device)
    if make is None:
        return lambda x: x.new_empty(*shape, dtype=dtype)
    strides = tuple(torch.empty(shape, device="meta").stride())
    is_current = _current_is(device)

    def allocate(x: Tensor) -> Tensor:
        if _fills() or not is_current():
            return x.new_empty(*shape, dtype=dtype)
        made: Tensor = make(shape, strides, dtype)
        return made

    return allocate


def _current_is(device: torch.device) -> Callable[[], bool]:
    """Whether what is made where torch is now is made on a device."""
    if device.type != "cuda":
        return lambda: True
    current: Callable[[], int] = torch._C._cuda_getDevice
    index = device.index or 0
    return lambda: current() == index


@functools.cache
def _find_maker(device: torch.device) -> Any:
    """What the code that torch's compiler writes calls, or None where it is not as known.

    Torch promises nothing of it. Without it calls take longer, and that is all.
    """
    try:
        from torch._C._dynamo import guards

        make = getattr(guards, f"_empty_strided_{device.type}")
        # It makes them on the current device; another would keep some memory for this process from then on.
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            made = make((1, 2), (2, 1), torch.float16)
        is_known = (made.shape, made.dtype, made.device.type) == (
            (1, 2),
            torch.float16,
            device.type,
        )
    except (ImportError, AttributeError, TypeError, RuntimeError):
        return None
    return make if is_known else None
