"""Unquantized weights, as stored or cast, through a kernel of their own (NONE, BF16, FP16)."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from torch.compiler import is_compiling

from qprobe.kernels.ops import FLOAT_LINEAR
from qprobe.layers._linear import PlannedLinear
from qprobe.layers._watched import is_plain


class FloatLinear(PlannedLinear):
    """A linear whose weight is in floating point and packed for a kernel."""

    schemes: ClassVar[frozenset[str]] = frozenset({"NONE", "BF16", "FP16"})
    operator: ClassVar[Any] = FLOAT_LINEAR

    def forward(self, x: Tensor) -> Tensor:
        """Take x (…, K) of any floating type, give y (…, N) of the same."""
        bias = self._parameters["bias"]
        if is_compiling() or not is_plain(x, bias):
            return self._traced(x)
        return self._select(x).run(x, None, self._packed, bias, x.dtype)


LAYER = FloatLinear
