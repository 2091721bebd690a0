"""Weights of 4 and 8 bits against any rows of x in bfloat16, multiplied by AMX."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, LayerSpec, any_code
from qprobe.kernels.cpp._library import load_library, why_absent
from qprobe.kernels.cpp._weight_only import SCHEMES, multiply
from qprobe.kernels.reference import pack_canonical, unpack_canonical

NAME = "qprobe_gemm_amx"
FEATURES = frozenset({"amx_bf16", "avx512_bf16", "avx512bw", "avx512dq", "avx512vl"})


@functools.cache
def _absent(_device: str) -> str:
    if words := why_absent(NAME, FEATURES):
        return words
    library = load_library()
    if library.handle is not None and library.handle.qprobe_amx_request():
        return "the system does not let this process use the tiles of AMX"
    return ""


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
    return multiply(NAME, x, packed, bias, out_dtype, (torch.bfloat16,))


KERNEL = Kernel(
    id="cpu.gemm_amx",
    schemes=SCHEMES,
    device="cpu",
    packing="canonical",
    input="float",
    absent=_absent,
    max_code=any_code,
    refuse=_refuse,
    pack=pack_canonical,
    unpack=unpack_canonical,
    run=_run,
)
