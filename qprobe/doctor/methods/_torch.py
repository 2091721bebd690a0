"""What the methods of torch itself share: its weight-only products with activations of any type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qprobe.doctor._layer import Made

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

GROUP = 128


def load_torch() -> None:
    """Import torch."""
    import torch  # noqa: F401


def make_int8pack(linear: nn.Linear, dtype: torch.dtype) -> Made:
    """int8 weights with a scale for each row, against activations in floating point."""
    import torch

    from qprobe.doctor.scripts.codes import channel_codes, dequantize

    codes, scale = channel_codes(linear.weight)
    scales, bias = scale.reshape(-1).to(dtype), linear.bias.to(dtype)

    def run(x: Tensor) -> Tensor:
        return torch._weight_int8pack_mm(x, codes, scales).add_(bias)

    return Made(run, dequantize(codes, scales.float().reshape(-1, 1)))


def make_int4pack(linear: nn.Linear, dtype: torch.dtype) -> Made:
    """int4 weights in groups along K, against activations in floating point."""
    import torch

    from qprobe.doctor.scripts.codes import dequantize, group_codes

    codes, scale = group_codes(linear.weight, 4, GROUP)
    both = torch.stack([scale.t(), torch.zeros_like(scale.t())], dim=-1).to(dtype).contiguous()
    bias = linear.bias.to(dtype)
    if linear.weight.is_cuda:
        tiles = 8
        unsigned = codes.int() + 8
        bytes_of = ((unsigned[:, 0::2] << 4) | unsigned[:, 1::2]).to(torch.uint8)
        packed = torch.ops.aten._convert_weight_to_int4pack(bytes_of, tiles)
        multiply = torch.ops.aten._weight_int4pack_mm
    else:
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int() + 8, 1)
        multiply = torch.ops.aten._weight_int4pack_mm_for_cpu

    def run(x: Tensor) -> Tensor:
        y: Tensor = multiply(x, packed, GROUP, both).add_(bias)
        return y

    return Made(run, dequantize(codes, both[..., 0].t().float()))
