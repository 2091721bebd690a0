"""Launches that a layer has ready, and which of its calls they serve: those that nobody else watches."""

from __future__ import annotations

from threading import get_ident
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qprobe.kernels.cuda._products import Multiply

SHAPES = 128
"""Kinds of x that a layer has launches ready for: each takes a kilobyte or two."""
NO_BIAS = torch.empty(0, device="cpu")
"""In the place of a bias where only tensors can be."""


def _find_guards() -> Any:
    """The class of the guards that dynamo puts before what it compiled, or None where it is not as known.

    Torch promises nothing of it. Without it calls take longer, and that is all.
    """
    try:
        from torch._C._dynamo.guards import TensorGuards

        guards: Any = TensorGuards
        x = torch.empty(1, 2, device="cpu")
        fits = guards(x, NO_BIAS, dynamic_dims_sizes=None, dynamic_dims_strides=None).check
        is_known = fits(x, NO_BIAS) and not fits(x.to(torch.int8), NO_BIAS)
    except (ImportError, TypeError, RuntimeError):
        return None
    return guards if is_known else None


_guards: Any = _find_guards()


class Start(NamedTuple):
    """A launch that is ready, for one thread and one kind of x."""

    thread: int
    fits: Any
    """Whether x and bias, or NO_BIAS, are of the kind: `check` of TensorGuards."""
    form: str
    """What the kernel takes x as."""
    multiply: Multiply


NOTHING = Start(0, lambda *_: False, "", lambda *_: NO_BIAS)
"""Serves nobody: no thread has that number."""


class Bound:
    """The launches that are ready for one packing. What replaces the packing replaces this."""

    __slots__ = ("_starts", "recent")

    def __init__(self) -> None:
        """Nothing is ready."""
        self._starts: dict[tuple[object, ...], Start] = {}
        self.recent = NOTHING
        """What served last, and likely serves next."""

    def find(self, x: Tensor, bias: Tensor) -> Start | None:
        """What serves x and the bias, or NO_BIAS, where that is not what served last."""
        found = None if _is_kept_apart(x, bias) else self._starts.get(_key(x))
        if found is None or not found.fits(x, bias):
            return None
        self.recent = found
        return found

    def add(self, form: str, multiply: Multiply, x: Tensor, bias: Tensor) -> Start:
        """Have a launch ready for what is like x and the bias, or NO_BIAS, in all but values and addresses.

        That is in type, dtype, shape, strides and device, in modes of `__torch_dispatch__`,
        transforms and traces, and in wanting no gradient: torch's dispatcher would do the same
        with both. One question tells, instead of a dozen.
        """
        if _guards is None or _is_kept_apart(x, bias):
            return Start(get_ident(), NOTHING.fits, form, multiply)
        guard = _guards(x, bias, dynamic_dims_sizes=None, dynamic_dims_strides=None)
        if len(self._starts) >= SHAPES:
            self._starts.clear()
        start = self.recent = self._starts[_key(x)] = Start(
            get_ident(), guard.check, form, multiply
        )
        return start


def _is_kept_apart(x: Tensor, bias: Tensor) -> bool:
    """Whether a guard made now might let pass what it should not: it does not ask whether gradients are on."""
    return x.requires_grad or bias.requires_grad


def _key(x: Tensor) -> tuple[object, ...]:
    """What varies most from call to call."""
    return x.shape, x.stride(), x.dtype, x.is_inference(), get_ident()
