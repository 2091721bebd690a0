"""Casts a model to another floating-point type, but for what must stay exact."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def cast_module(
    module: nn.Module,
    dtype: torch.dtype,
    skip: tuple[type[nn.Module], ...] = (),
    copy: bool = False,
) -> nn.Module:
    """Cast parameters and persistent buffers in place; modules of the types in `skip` stay as they are.

    Buffers that are not saved, such as the frequencies of rotary embeddings, are computed by the
    model and stay exact. Tied parameters stay tied. With `copy`, what has the type already gets new
    memory as well: nothing is left of a mapped file.
    """

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype if tensor.is_floating_point() else tensor.dtype, copy=copy)

    for child in module.modules():
        if isinstance(child, skip):
            continue
        for parameter in child.parameters(recurse=False):
            parameter.data = cast(parameter.data)
        for name, buffer in list(child.named_buffers(recurse=False)):
            if name not in child._non_persistent_buffers_set:
                child._buffers[name] = cast(buffer)
    return module
