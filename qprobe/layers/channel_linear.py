"""8-bit integer weights with one scale for each output channel (W8A8, W8A16)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from qprobe.kernels.ops import CHANNEL_LINEAR, QUANTIZE_TOKENS
from qprobe.layers._linear import PlannedLinear
from qprobe.layers._sharing import quantize_shared


class ChannelLinear(PlannedLinear):
    """A linear whose weight is int8 codes; the kernel decides how x is multiplied with them."""

    schemes: ClassVar[frozenset[str]] = frozenset({"W8A8", "W8A16"})

    def forward(self, x: Tensor) -> Tensor:
        """Take x (…, K) of any floating type, give y (…, N) of the same."""
        kernel = self._select(x)
        if self._through_operator(x):
            return self._traced(x)
        if kernel.input == "float":
            return kernel.run(x, None, self._packed, self.bias, x.dtype)
        codes, scale = quantize_shared(x, kernel.input)
        return kernel.run(codes, scale, self._packed, self.bias, x.dtype)

    def _traced(self, x: Tensor) -> Tensor:
        kernel, packed = self._operands(self._select(x))
        codes = scale = None
        if kernel.input != "float":
            # The gradient goes straight through, by way of x.
            codes, scale = QUANTIZE_TOKENS(x.detach(), kernel.input)
        y: Tensor = CHANNEL_LINEAR(x, codes, scale, packed, self.bias, self.out_features, kernel.id)
        return y


LAYER = ChannelLinear
