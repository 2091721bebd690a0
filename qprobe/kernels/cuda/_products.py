"""How the kernels of each role are run: tensors in, y out, whatever the shape of x."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.kernels._kernel import Run
from qprobe.kernels.cuda import counters, driver
from qprobe.kernels.cuda._allocation import Allocate
from qprobe.kernels.cuda._ready import Prepared, Ready, elsewhere, make_ready, prepare
from qprobe.kernels.cuda._settled import Settled
from qprobe.kernels.cuda.launch import ALIGNMENT, align
from qprobe.kernels.cuda.manifest import Role
from qprobe.kernels.cuda.portfolio import Source

WEIGHT = slice(1, 4)
"""Of the addresses that a kernel is given, those of words, scales and zero points."""

Multiply = Callable[..., Tensor]
"""y of x, or of its codes and of their scales; then of a bias, or of None, and perhaps where y is to be."""


class Launched:
    """`run` of a kernel that goes to a card by a way that torch knows nothing of."""

    def __init__(self, source: Source) -> None:
        """Take the source of the kernel."""
        self._source = source


class Product(Launched):
    """Multiplies weights as they are stored, with x as it is or with its codes."""

    def __init__(self, source: Source) -> None:
        """Take the source of the kernel."""
        super().__init__(source)
        self._is_coded = source.manifest.input != "float"

    def __call__(
        self,
        x: Tensor,
        x_scale: Tensor | None,
        packed: Sequence[Tensor],
        bias: Tensor | None,
        out_dtype: torch.dtype,
    ) -> Tensor:
        """Compute y (…, N) in `out_dtype`."""
        made = self._prepare(x, out_dtype if self._is_coded else x.dtype, packed)
        return self._multiply(made, x, x_scale, packed, bias, out_dtype)

    def bind(self, x: Tensor, packed: Sequence[Tensor], bias: Tensor | None) -> Multiply:
        """What computes the same for whatever is of the kind of x and of the bias, in this thread.

        x is what a layer is given, before it is quantized.
        """
        out_dtype = x.dtype
        made = self._prepare(x, out_dtype, packed)
        if (
            0 < made.rows <= made.most
            and not made.padding
            and _is_ready(x, made.ready.dtype)
            and (bias is None or _is_ready(bias, made.ready.dtype))
        ):
            return _bind(made.ready, made.allocate, packed)
        return lambda x, x_scale, bias: self._multiply(made, x, x_scale, packed, bias, out_dtype)

    def _multiply(
        self,
        made: Prepared,
        x: Tensor,
        x_scale: Tensor | None,
        packed: Sequence[Tensor],
        bias: Tensor | None,
        out_dtype: torch.dtype,
    ) -> Tensor:
        """Bring all to what the build takes, and y from there."""
        dtype = made.ready.dtype
        if self._is_coded:
            if x_scale is None:
                raise TypeError(f"{self._source.name} multiplies quantized activations")
            x_scale = x_scale.contiguous()
            if made.padding:  # Codes are padded as the weight's are.
                x = functional.pad(x, (0, made.padding))
        elif x.dtype != dtype:
            x = x.to(dtype)
        if not x.is_contiguous():
            x = x.contiguous()
        if bias is not None and not _is_ready(bias, dtype):
            bias = bias.to(dtype).contiguous()
        if 0 < made.rows <= made.most:
            y = _bind(made.ready, made.allocate, packed)(x, x_scale, bias)
        else:
            y = made.allocate(x)
            if made.rows:
                self._multiply_parts(made, packed, x, x_scale, bias, y)
        return y if dtype == out_dtype else y.to(out_dtype)

    def _prepare(self, x: Tensor, wanted: torch.dtype, packed: Sequence[Tensor]) -> Prepared:
        words = packed[0]
        stored_k = words.shape[-1] if self._is_coded else 0
        return prepare(
            self._source, packed[-1].shape, stored_k, wanted, x.shape, words.device, x.device,
            get_ident(),
        )  # fmt: skip

    def _multiply_parts(
        self,
        made: Prepared,
        packed: Sequence[Tensor],
        x: Tensor,
        x_scale: Tensor | None,
        bias: Tensor | None,
        y: Tensor,
    ) -> None:
        """More rows than one launch can have."""
        k, n, index, number = x.shape[-1], made.shape[-1], x.device.index or 0, packed[-1].shape[2]
        rows, to = x.reshape(-1, k), y.reshape(-1, n)
        scale = None if x_scale is None else x_scale.reshape(-1)
        for start in range(0, made.rows, made.most):
            part = slice(start, min(made.rows, start + made.most))
            size = part.stop - start
            ready = make_ready(
                self._source, number, made.ready.dtype, size, n, k, index, get_ident()
            )
            own = None if scale is None else scale[part]
            _bind(ready, made.allocate, packed)(rows[part], own, bias, to[part])


def _bind(ready: Ready, allocate: Allocate, packed: Sequence[Tensor]) -> Multiply:
    """What launches on x or its codes: (M, K), contiguous as the bias is, in the type of the build.

    Addresses are asked anew each time: what lies behind a tensor can be changed.
    """
    call, _, _, sums, tiles = ready
    words, scales, *rest = packed[:-1]
    zeros = rest[0] if rest else None
    settled = Settled((words, scales, *rest)) if call.overlaps else None
    find_stream, index = driver.current().find_stream, words.device.index or 0

    def multiply(
        x: Tensor, x_scale: Tensor | None, bias: Tensor | None, y: Tensor | None = None
    ) -> Tensor:
        x_at, bias_at = x.data_ptr(), 0 if bias is None else bias.data_ptr()
        if (x_at | bias_at) % ALIGNMENT:
            x, bias = align(x), None if bias is None else align(bias)
            x_at, bias_at = x.data_ptr(), 0 if bias is None else bias.data_ptr()
        if y is None:
            y = allocate(x)
        given = [
            x_at,
            words.data_ptr(),
            scales.data_ptr(),
            0 if zeros is None else zeros.data_ptr(),
            y.data_ptr(),
            bias_at,
        ]
        if x_scale is not None:
            given.append(x_scale.data_ptr())
        if sums:
            # Of this call alone: two streams may run one layer at a time.
            scratch = x.new_empty(sums, dtype=torch.float32)
            lent = counters.lend(tiles, x.device)
            given += scratch.data_ptr(), lent.data_ptr()
        if settled is None:
            call.start(given)
            return y
        stream, where = find_stream(index), given[WEIGHT]
        if settled.ask(where, stream):
            call.start(given, stream)
        else:
            call.start(given)
            settled.keep(where, stream)
        return y

    return multiply


def _is_ready(matrix: Tensor, dtype: torch.dtype) -> bool:
    return matrix.dtype == dtype and matrix.is_contiguous()


class Dequantized(Launched):
    """By way of the whole weight in the type of x, which torch's own product then multiplies."""

    def __call__(
        self,
        x: Tensor,
        _x_scale: Tensor | None,
        packed: Sequence[Tensor],
        bias: Tensor | None,
        out_dtype: torch.dtype,
    ) -> Tensor:
        """Compute y (…, N) in `out_dtype`."""
        words, scales, *zeros, label = packed
        n, k, number, _ = label.shape
        if words.device != x.device:
            raise elsewhere(self._source, x.device, words.device)
        index = x.device.index or 0
        ready = make_ready(self._source, number, x.dtype, 1, n, k, index, get_ident())
        weight = torch.empty(n, k, dtype=ready.dtype, device=x.device)
        if x.numel():
            zeros_at = zeros[0].data_ptr() if zeros else 0
            ready.call.start([words.data_ptr(), scales.data_ptr(), zeros_at, weight.data_ptr()])
        bias = None if bias is None else bias.to(ready.dtype)
        return functional.linear(x.to(ready.dtype), weight, bias).to(out_dtype)


BY_ROLE: dict[Role, Callable[[Source], Run]] = {
    "gemv": Product,
    "gemm": Product,
    "dequantize": Dequantized,
}
"""Role of a kernel that computes layers → how it is run."""
