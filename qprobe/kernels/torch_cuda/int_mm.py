"""int8 activations and weights through torch's integer product, which is cuBLASLt's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, LayerSpec, accept, any_code
from qprobe.kernels.cuda import quantizer
from qprobe.kernels.torch_cuda import _operators
from qprobe.kernels.torch_cuda._capability import absent_before
from qprobe.kernels.torch_cuda._padding import pad_matrix, round_up

OLDEST = (7, 5)
WORDS = "cuBLASLt multiplies int8 on tensor cores"
MULTIPLE = 8
"""Of K and N."""
LEAST_ROWS = 17
FEWEST = 32
"""Rows that fewer are padded to: the operator refuses 16, and tiles have 32 at least."""


def _pack(tensors: dict[str, Tensor], _spec: LayerSpec) -> Sequence[Tensor]:
    """Codes (N, K), both padded, and scales (1, N) as long as N really is.

    K is innermost, so that the product sees a column-major operand: a row-major one costs it twice
    the time and more.
    """
    weight = tensors["weight"]
    n, k = weight.shape
    codes = pad_matrix(weight, round_up(n, MULTIPLE), round_up(k, MULTIPLE))
    return codes, tensors["weight_scale"].reshape(1, -1)


def _unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    codes, scale = packed
    return {
        "weight": codes[: spec.n, : spec.k].contiguous(),
        "weight_scale": scale.reshape(-1, 1),
    }


def _run(
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    if x_scale is None:
        raise TypeError("this kernel multiplies quantized activations")
    codes, scale = packed
    n, lead = scale.shape[1], x.shape[:-1]
    rows = x.reshape(-1, x.shape[-1])
    m = len(rows)
    if not m:
        return x.new_empty(*lead, n, dtype=out_dtype)
    rows = pad_matrix(rows, m if m >= LEAST_ROWS else FEWEST, codes.shape[1])
    y = _operators.int_mm(rows, codes)[:m, :n] * x_scale.reshape(-1, 1)
    y = y.mul_(scale) if bias is None else torch.addcmul(bias.float(), y, scale, out=y)
    return y.to(out_dtype).reshape(*lead, n)


def _trial(spec: LayerSpec) -> AbstractContextManager[None]:
    """What quantizes the rows is ours and may be new to the card; the product is torch's."""
    quantizer.try_out(spec)
    return nullcontext()


KERNEL = Kernel(
    id="cuda.int_mm",
    schemes=frozenset({"W8A8"}),
    device="cuda",
    packing="int8_multiples_of_8",
    input="int8",
    absent=absent_before(OLDEST, WORDS),
    max_code=any_code,
    refuse=accept,
    pack=_pack,
    unpack=_unpack,
    run=_run,
    warm_up=quantizer.warm_up,
    trial=_trial,
)
