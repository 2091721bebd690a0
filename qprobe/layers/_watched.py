"""Who else watches a call of a layer: modes, traces, exports, gradients and tangents."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _disable_current_modes

# Found once: they are asked at every call, and take no longer than it takes to find them.
function_modes = torch._C._len_torch_function_stack
_dispatch_modes = torch._C._len_torch_dispatch_stack
is_traced = torch._C._is_tracing
"""Whether torch.jit traces now. Not for dynamo to see."""


def carries_tangents() -> bool:
    """Whether derivatives are carried forward now, as torch.func.jvp does."""
    return forward_ad._current_level >= 0


def is_plain(x: Tensor, bias: Tensor | None) -> bool:
    """Whether an eager call on x can do without an operator, which is all that torch sees of a launch.

    It cannot under a mode of `__torch_function__` or `__torch_dispatch__`, which fake tensors and
    exports bring as well; in a trace of torch.jit; where tangents are carried along; for tensors of
    another type than torch's own or with other values than their memory; and where a gradient is
    wanted. That dynamo traces is for the caller to ask. Autocast is no reason: the operators do not heed it. Nor are vmap and its
    kin: the operators have no rules for them, and tensors without an address are refused either way.
    """
    if type(x) is not Tensor or not (bias is None or type(bias) is nn.Parameter):
        return False
    if function_modes() or _dispatch_modes() or is_traced() or carries_tangents():
        return False
    if x.is_neg() or x._is_zerotensor():
        return False
    is_wanted = x.requires_grad or (bias is not None and bias.requires_grad)
    return not (is_wanted and torch.is_grad_enabled())


def is_exported() -> bool:
    """Whether torch.export traces now. Older versions of torch cannot tell.

    The flag itself: `is_exporting()` is true in whatever torch 2.11 compiles.
    """
    return bool(getattr(torch.compiler, "_is_exporting_flag", False))


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """What is computed within is a constant to whatever traces.

    Modes can be put aside; torch.jit has no other way out than its state, which torch's stubs leave out.
    """
    state = torch._C._get_tracing_state()
    set_state: Any = torch._C._set_tracing_state  # type: ignore[attr-defined]
    set_state(None)
    try:
        with _disable_current_modes():
            yield
    finally:
        set_state(state)
