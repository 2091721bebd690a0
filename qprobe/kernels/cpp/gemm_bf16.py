"""Weights of 4 and 8 bits against any rows of x in bfloat16, by the bfloat16 products of AVX512."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, LayerSpec, any_code
from qprobe.kernels.cpp._library import why_absent
from qprobe.kernels.cpp._strips import pack_strips, unpack_strips
from qprobe.kernels.cpp._weight_only import SCHEMES, multiply_strips

NAME = "qprobe_gemm_bf16"
FEATURES = frozenset({"avx512_bf16", "avx512bw", "avx512vl"})


def _absent(_device: str) -> str:
    return why_absent(NAME, FEATURES)


def _refuse(spec: LayerSpec) -> str:
    if spec.activation_dtype != torch.bfloat16:
        return f"it computes in bfloat16, the activations are {spec.activation_dtype}"
    return ""


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    return multiply_strips(NAME, x, packed, bias, out_dtype)


KERNEL = Kernel(
    id="cpu.gemm_avx512_bf16",
    schemes=SCHEMES,
    device="cpu",
    packing="strips",
    input="float",
    absent=_absent,
    max_code=any_code,
    refuse=_refuse,
    pack=pack_strips,
    unpack=unpack_strips,
    run=_run,
)
