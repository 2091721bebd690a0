"""What the layers of all quantized schemes share: how x is brought to the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from threading import get_ident

from torch import Tensor
from torch.compiler import is_compiling, is_dynamo_compiling

from qprobe.kernels._kernel import Run
from qprobe.kernels.cuda._products import Multiply, Product
from qprobe.layers._bound import NO_BIAS
from qprobe.layers._linear import PlannedLinear
from qprobe.layers._sharing import SharedInput, quantize_shared
from qprobe.layers._watched import carries_tangents, function_modes, is_plain


class CodedLinear(PlannedLinear):
    """A linear whose weight is codes and scales; the kernel decides how x is multiplied with them."""

    shared_input: SharedInput | None = None
    """The same for layers that read one tensor; None: it is not known that any other does."""

    def forward(self, x: Tensor) -> Tensor:
        """Take x (…, K) of any floating type, give y (…, N) of the same."""
        if self._is_launched:
            if is_dynamo_compiling():
                return self._traced(x)
            bias = self._parameters["bias"]  # `self.bias` is a search, ten times as long.
            thread, fits, form, multiply = self._bound.recent
            if (
                thread == get_ident()
                and fits(x, NO_BIAS if bias is None else bias)
                and not function_modes()
                and not carries_tangents()
            ):
                if form == "float":
                    return multiply(x, None, bias)
                return multiply(*quantize_shared(x, form, self, self.shared_input), bias)
            return self._launch(x, bias)
        bias = self._parameters["bias"]
        if is_compiling() or not is_plain(x, bias):
            return self._traced(x)
        kernel = self._select(x)
        if kernel.input == "float":
            return kernel.run(x, None, self._packed, bias, x.dtype)
        codes, scale = quantize_shared(x, kernel.input, self, self.shared_input)
        return kernel.run(codes, scale, self._packed, bias, x.dtype)

    def _launch(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The same where kernels are launched, of an x of another kind than the last one."""
        if is_compiling() or not is_plain(x, bias):
            return self._traced(x)
        # Asked for before the kernel: whoever packs anew meanwhile must not find an old one bound.
        bound, other = self._bound, NO_BIAS if bias is None else bias
        start = bound.find(x, other)
        if start is None:
            kernel = self._select(x)
            start = bound.add(kernel.input, _bind(kernel.run, x, self._packed, bias), x, other)
        if start.form == "float":
            return start.multiply(x, None, bias)
        return start.multiply(*quantize_shared(x, start.form, self, self.shared_input), bias)


def _bind(run: Run, x: Tensor, packed: Sequence[Tensor], bias: Tensor | None) -> Multiply:
    """What a kernel computes of such an x with one packed weight."""
    if isinstance(run, Product):
        return run.bind(x, packed, bias)
    dtype = x.dtype
    return lambda x, x_scale, bias: run(x, x_scale, packed, bias, dtype)
