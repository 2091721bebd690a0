"""What the layers of all quantized schemes share: how x is brought to the kernel."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from qprobe.kernels.ops import QUANTIZE_TOKENS
from qprobe.layers._linear import PlannedLinear
from qprobe.layers._sharing import SharedInput, quantize_shared


class CodedLinear(PlannedLinear):
    """A linear whose weight is codes and scales; the kernel decides how x is multiplied with them."""

    operator: ClassVar[Any]
    """The operator that torch sees when it traces or differentiates."""
    shared_input: SharedInput | None = None
    """The same for layers that read one tensor; None: it is not known that any other does."""

    def forward(self, x: Tensor) -> Tensor:
        """Take x (…, K) of any floating type, give y (…, N) of the same."""
        kernel = self._select(x)
        if self._through_operator(x):
            return self._traced(x)
        bias = self._parameters["bias"]  # `self.bias` is a search, ten times as long.
        if kernel.input == "float":
            return kernel.run(x, None, self._packed, bias, x.dtype)
        codes, scale = quantize_shared(x, kernel.input, self, self.shared_input)
        return kernel.run(codes, scale, self._packed, bias, x.dtype)

    def _traced(self, x: Tensor) -> Tensor:
        kernel, packed = self._operands(self._select(x))
        codes = scale = None
        if kernel.input != "float":
            # The gradient goes straight through, by way of x.
            codes, scale = QUANTIZE_TOKENS(x.detach(), kernel.input)
        scheme, n = self.scheme.name, self.out_features
        y: Tensor = self.operator(x, codes, scale, packed, self.bias, scheme, n, kernel.id)
        return y
