"""Unquantized weights, reordered once into the blocked layout that oneDNN's matrix product wants."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, LayerSpec, any_code
from qprobe.kernels.torch_cpu._onednn import onednn_absent


def _refuse(spec: LayerSpec) -> str:
    weight_dtype = torch.bfloat16 if spec.scheme == "BF16" else spec.activation_dtype
    if weight_dtype not in (torch.float32, torch.bfloat16):
        return f"oneDNN's prepacked linear takes float32 or bfloat16 weights, not {weight_dtype}"
    if weight_dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "oneDNN has no bfloat16 on this processor (it needs AVX512 or avx_ne_convert)"
    return ""


def _pack(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    weight = (
        tensors["weight"] if spec.scheme == "BF16" else tensors["weight"].to(spec.activation_dtype)
    )
    return (torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None),)


def _unpack(packed: Sequence[Tensor], _spec: LayerSpec) -> dict[str, Tensor]:
    return {"weight": packed[0].to_dense()}


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    weight = packed[0]
    x = x.to(weight.dtype)
    if bias is not None:
        bias = bias.to(weight.dtype).contiguous()
    y: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return y if y.dtype == out_dtype else y.to(out_dtype)


KERNEL = Kernel(
    id="cpu.onednn_linear",
    schemes=frozenset({"NONE", "BF16"}),
    device="cpu",
    packing="onednn_float",
    input="float",
    absent=onednn_absent,
    max_code=any_code,
    refuse=_refuse,
    pack=_pack,
    unpack=_unpack,
    run=_run,
)
