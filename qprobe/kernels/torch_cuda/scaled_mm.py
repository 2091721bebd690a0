"""float8 activations and weights through torch's scaled product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels import gpus
from qprobe.kernels._kernel import Kernel, LayerSpec, accept, any_code
from qprobe.kernels.torch_cuda import _operators
from qprobe.kernels.torch_cuda._capability import absent_before
from qprobe.kernels.torch_cuda._padding import pad_matrix, round_up

OLDEST = (8, 9)
WORDS = "torch's scaled product takes float8"
BY_ROWS = (9, 0)
"""From here on it applies a scale for each row and column by itself."""
MULTIPLE = 16
"""Of K and N."""
SUM_ERROR = 16 * 2.0**-13
"""Tensor cores of Ada and Hopper add products of float8 up with 13 bits behind the leading one and cut off the rest
(arXiv:2412.19437, 3.3.2). cuBLASLt, not asked for fast accumulation, adds parts of K in float32. An H200 was off by
2.2e-4 at K = 1024."""


def _pack(tensors: dict[str, Tensor], _spec: LayerSpec) -> Sequence[Tensor]:
    """Codes (N, K), both padded, scales (1, N) padded with ones, and scales as they are stored."""
    weight, stored = tensors["weight"], tensors["weight_scale"]
    n, k = weight.shape
    codes = pad_matrix(weight, round_up(n, MULTIPLE), round_up(k, MULTIPLE))
    scale = stored.new_ones(1, len(codes))
    scale[0, :n] = stored[:, 0]
    return codes, scale, stored


def _unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    return {"weight": packed[0][: spec.n, : spec.k].contiguous(), "weight_scale": packed[2]}


def _run(
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    if x_scale is None:
        raise TypeError("this kernel multiplies quantized activations")
    codes, scale, stored = packed
    n, lead = len(stored), x.shape[:-1]
    rows = x.reshape(-1, x.shape[-1])
    m = len(rows)
    if not m:
        return x.new_empty(*lead, n, dtype=out_dtype)
    rows, x_scale = pad_matrix(rows, m, codes.shape[1]), x_scale.reshape(-1, 1)
    # Scaled by rows it writes bfloat16 only.
    if out_dtype == torch.bfloat16 and gpus.capability_of(str(x.device)) >= BY_ROWS:
        y = _operators.scaled_mm(rows, codes, x_scale.contiguous(), scale, out_dtype)[:, :n]
        y = y.contiguous() if bias is None else y + bias.to(out_dtype)
    else:
        one = scale.new_ones(())
        y = _operators.scaled_mm(rows, codes, one, one, torch.float32)[:, :n] * x_scale
        y = y * stored.t() if bias is None else torch.addcmul(bias.float(), y, stored.t())
    return y.to(out_dtype).reshape(*lead, n)


KERNEL = Kernel(
    id="cuda.scaled_mm",
    schemes=frozenset({"FP8_DYNAMIC"}),
    device="cuda",
    packing="float8_multiples_of_16",
    input="float8_e4m3fn",
    absent=absent_before(OLDEST, WORDS),
    max_code=any_code,
    refuse=accept,
    pack=_pack,
    unpack=_unpack,
    run=_run,
    sum_error=SUM_ERROR,
)
