"""torch's own operators."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.bench.by_hand._hand import Call, Hand

GROUP = 128


def _int_mm(linear: nn.Linear, dtype: torch.dtype) -> Call:
    scale = linear.weight.abs().amax(1) / 127
    codes = (linear.weight / scale[:, None]).round().to(torch.int8)

    def run(x: Tensor) -> Tensor:
        x_scale = x.abs().amax(1, keepdim=True).float() / 127
        y = torch._int_mm((x / x_scale).round().to(torch.int8), codes.t())
        return (y * x_scale * scale + linear.bias).to(dtype)

    return run


def _int8pack(linear: nn.Linear, dtype: torch.dtype) -> Call:
    scale = linear.weight.abs().amax(1) / 127
    codes = (linear.weight / scale[:, None]).round().to(torch.int8)
    scale, bias = scale.to(dtype), linear.bias.to(dtype)
    return lambda x: torch._weight_int8pack_mm(x, codes, scale) + bias


def _int4pack(linear: nn.Linear, dtype: torch.dtype) -> Call:
    """The operator takes codes from 0 to 15 and computes (code − 8) · scale + zero."""
    n, k = linear.weight.shape
    groups = linear.weight.reshape(n, k // GROUP, GROUP)
    scale = groups.abs().amax(2, keepdim=True) / 7
    codes = (groups / scale).round().add(8).clamp(0, 15).int().reshape(n, k)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
    scale = scale.squeeze(2).t()
    both = torch.stack([scale, torch.zeros_like(scale)], dim=2).to(dtype)
    bias = linear.bias.to(dtype)
    return lambda x: torch.ops.aten._weight_int4pack_mm_for_cpu(x, packed, GROUP, both) + bias


def _scaled_mm(linear: nn.Linear, dtype: torch.dtype) -> Call:
    """A scale for each row of x and of W, given to the operator."""
    scale = linear.weight.abs().amax(1) / 448
    codes = (linear.weight / scale[:, None]).to(torch.float8_e4m3fn)
    bias = linear.bias.to(dtype)

    def run(x: Tensor) -> Tensor:
        x_scale = x.abs().amax(1, keepdim=True).float() / 448
        x_codes = (x / x_scale).to(torch.float8_e4m3fn)
        y = torch._scaled_mm(x_codes, codes.t(), x_scale, scale[None], out_dtype=dtype)
        return y + bias

    return run


HANDS = {
    "torch-int-mm": Hand(_int_mm),
    "torch-scaled-mm": Hand(_scaled_mm),
    **{f"torch-int8pack{name}": Hand(_int8pack) for name in ("", "-fp16", "-fp32")},
    **{f"torch-int4pack{name}": Hand(_int4pack) for name in ("", "-fp16", "-fp32")},
}
