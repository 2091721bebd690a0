"""Unquantized 16-bit weights of awkward shapes, padded to what cuBLAS's tensor-core kernels want.

Rows of x and of the weight that do not begin at multiples of 16 bytes are multiplied by slower
kernels. Where the shape suits already, torch's own linear is the same and this one has no use.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.documents.scheme import SCHEMES, CastWeights
from qprobe.kernels._kernel import Kernel, LayerSpec, any_code
from qprobe.kernels.torch_cuda._capability import absent_before, too_old
from qprobe.kernels.torch_cuda._padding import pad_matrix, round_up

OLDEST = {torch.float16: (7, 0), torch.bfloat16: (8, 0)}
WORDS = "tensor cores multiply {}"
MULTIPLE = 8
"""Of K and N: 16 bytes."""


def _refuse(spec: LayerSpec) -> str:
    weights = SCHEMES[spec.scheme].weights
    dtype = spec.activation_dtype
    if isinstance(weights, CastWeights) and getattr(torch, weights.dtype) != dtype:
        return f"it multiplies activations of the weights' type; these are {dtype}"
    if dtype not in OLDEST:
        return f"padding serves types of 16 bits; the activations are {dtype}"
    if spec.n % MULTIPLE == 0 and spec.k % MULTIPLE == 0:
        return f"N = {spec.n} and K = {spec.k} need no padding: the reference computes the same"
    return too_old(spec.device, OLDEST[dtype], WORDS.format(str(dtype)[6:]))


def _pack(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """The weight padded, and an empty tensor (N, 0) that tells how long N really is."""
    weight = tensors["weight"].to(spec.activation_dtype)
    padded = pad_matrix(weight, round_up(spec.n, MULTIPLE), round_up(spec.k, MULTIPLE))
    return padded, weight.new_empty(spec.n, 0)


def _unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    return {"weight": packed[0][: spec.n, : spec.k].contiguous()}


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    weight, (n, lead) = packed[0], (len(packed[1]), x.shape[:-1])
    rows = x.to(weight.dtype).reshape(-1, x.shape[-1])
    y = functional.linear(pad_matrix(rows, len(rows), weight.shape[1]), weight)[:, :n]
    y = y.contiguous() if bias is None else y + bias.to(y.dtype)
    return y.to(out_dtype).reshape(*lead, n)


KERNEL = Kernel(
    id="cuda.padded_linear",
    schemes=frozenset({"NONE", "BF16", "FP16"}),
    device="cuda",
    packing="half_multiples_of_8",
    input="float",
    absent=absent_before(OLDEST[torch.float16], WORDS.format("float16")),
    max_code=any_code,
    refuse=_refuse,
    pack=_pack,
    unpack=_unpack,
    run=_run,
)
