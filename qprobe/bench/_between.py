"""What a model computes between its linears, and a clock that stands still meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch.nn import functional

P = ParamSpec("P")
T = TypeVar("T")

MOST_ROWS, MOST_FEATURES = 64, 256
"""Of what is computed between: enough to fill a core's first cache."""


class Stopwatch:
    """A clock, in seconds, that stands still while some functions run."""

    def __init__(self) -> None:
        self.stopped_s = 0.0

    def __call__(self) -> float:
        return time.perf_counter() - self.stopped_s

    def leave_out(self, call: Callable[P, T]) -> Callable[P, T]:
        """The same function, of which the clock sees nothing."""

        def uncounted(*args: P.args, **kwargs: P.kwargs) -> T:
            start = time.perf_counter()
            result = call(*args, **kwargs)
            self.stopped_s += time.perf_counter() - start
            return result

        return uncounted


def make_interlude(rows: int, features: int) -> Callable[[], object]:
    """A norm, an activation function, a softmax, a residual and a transposition of (rows, features) or less.

    They leave a core's first caches, its predictors and the interpreter as a model leaves them for the
    linear that comes next. Layers of 10 to 100 µs that follow one another at once take half to nine
    tenths of the time, and not all of them alike.
    """
    shape = min(rows, MOST_ROWS), min(features, MOST_FEATURES)
    hidden = torch.linspace(-3, 3, math.prod(shape)).reshape(shape)

    def interlude() -> object:
        y = functional.gelu(functional.layer_norm(hidden, shape[1:]))
        y = (torch.softmax(y, -1) + hidden) * hidden
        return y.transpose(0, 1).reshape(-1)

    return interlude
