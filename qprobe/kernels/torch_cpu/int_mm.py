"""int8 activations and weights through torch's integer matrix product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, LayerSpec, refuse_long_sums
from qprobe.kernels.reference import pack_canonical, unpack_canonical
from qprobe.kernels.torch_cpu._onednn import int8_absent, int8_max_code
from qprobe.kernels.torch_cpu._rows import finish_rows


def _refuse(spec: LayerSpec) -> str:
    if spec.k == 1:
        return "torch's integer product is wrong for K = 1"
    return refuse_long_sums(spec)


def _run(
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    if x_scale is None:
        raise TypeError("this kernel multiplies quantized activations")
    weight, scale = packed
    rows = x.reshape(-1, x.shape[-1])
    # As a view the transposed weight is read along K, twice as fast for few rows as a copy.
    y = torch._int_mm(rows, weight.t()).to(torch.float32).mul_(scale.t())
    return finish_rows(y, x_scale, bias, x.shape[:-1], out_dtype)


KERNEL = Kernel(
    id="cpu.int_mm",
    schemes=frozenset({"W8A8"}),
    device="cpu",
    packing="canonical",
    input="int8",
    absent=int8_absent,
    max_code=int8_max_code,
    refuse=_refuse,
    pack=pack_canonical,
    unpack=unpack_canonical,
    run=_run,
)
