"""Unquantized weights, as stored or cast, through a kernel of their own (NONE, BF16, FP16)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from qprobe.kernels.ops import FLOAT_LINEAR
from qprobe.layers._linear import PlannedLinear


class FloatLinear(PlannedLinear):
    """A linear whose weight is in floating point and packed for a kernel."""

    schemes: ClassVar[frozenset[str]] = frozenset({"NONE", "BF16", "FP16"})

    def forward(self, x: Tensor) -> Tensor:
        """Take x (…, K) of any floating type, give y (…, N) of the same."""
        kernel = self._select(x)
        if self._through_operator(x):
            kernel, packed = self._operands(kernel)
            y: Tensor = FLOAT_LINEAR(
                x, packed, self.bias, self.scheme.name, self.out_features, kernel.id
            )
            return y
        return kernel.run(x, None, self._packed, self._parameters["bias"], x.dtype)


LAYER = FloatLinear
