"""Operators of torch itself, put together the plain way: a module of three lines, no tricks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from tests.bench.peers._peer import Call, Peer, Way, group_codes


class _Module(nn.Module):
    """A function of x as a module, so that it can stand in a model."""

    def __init__(self, function: Call) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Take x (…, K), give y (…, N) in its type."""
        rows = x.reshape(-1, x.shape[-1])
        y = self.function(rows)
        return y.reshape(*x.shape[:-1], y.shape[-1])


def _bias(linear: nn.Linear, dtype: torch.dtype) -> Tensor:
    if linear.bias is None:
        return torch.zeros(linear.out_features, dtype=dtype)
    return linear.bias.detach().to(dtype)


def _int8pack(linear: nn.Linear, dtype: torch.dtype) -> Call:
    """int8 weights against activations in floating point."""
    codes, scale = group_codes(linear.weight, 8, linear.in_features)
    scales, bias = scale.reshape(-1).to(dtype), _bias(linear, dtype)
    return _Module(lambda x: torch._weight_int8pack_mm(x, codes, scales).add_(bias))


def _int4pack(group: int, linear: nn.Linear, dtype: torch.dtype) -> Call:
    """int4 weights in groups along K against activations in floating point."""
    codes, scale = group_codes(linear.weight, 4, group)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int() + 8, 1)
    scales_and_zeros = torch.stack([scale.t(), torch.zeros_like(scale.t())], dim=-1)
    scales_and_zeros = scales_and_zeros.to(dtype).contiguous()
    bias = _bias(linear, dtype)
    multiply = torch.ops.aten._weight_int4pack_mm_for_cpu
    return _Module(lambda x: multiply(x, packed, group, scales_and_zeros).add_(bias))


def _tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Signed codes and a scale for each row."""
    scale = x.abs().amax(-1, keepdim=True).float().div_(127).clamp_min_(1e-30)
    return (x / scale).round_().to(torch.int8), scale


def _int_mm(linear: nn.Linear, dtype: torch.dtype) -> Call:
    """int8 × int8 → int32 with the weight as (N, K) transposed, then both scales."""
    codes, scale = group_codes(linear.weight, 8, linear.in_features)
    transposed, scales, bias = codes.t(), scale.reshape(1, -1), _bias(linear, torch.float32)

    def run(x: Tensor) -> Tensor:
        x_codes, x_scale = _tokens(x)
        y = torch._int_mm(x_codes, transposed).float()
        return y.mul_(scales).mul_(x_scale).add_(bias).to(dtype)

    return _Module(run)


def _qlinear(linear: nn.Linear, dtype: torch.dtype) -> Call:
    """oneDNN's int8 product with the weight prepacked, then the scale of each row."""
    codes, scale = group_codes(linear.weight, 8, linear.in_features)
    packed = torch.ops.onednn.qlinear_prepack(codes, None)
    scales, zeros = scale.reshape(-1), torch.zeros(linear.out_features, dtype=torch.int64)
    bias = _bias(linear, torch.float32)
    multiply: Callable[..., Tensor] = torch.ops.onednn.qlinear_pointwise.default

    def run(x: Tensor) -> Tensor:
        x_codes, x_scale = _tokens(x)
        y = multiply(
            x_codes, 1.0, 0, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return y.mul_(x_scale).add_(bias).to(dtype)

    return _Module(run)


PEER = Peer(
    name="torch",
    distribution="torch",
    module="torch",
    side="torch",
    ways=(
        # With float32 or float16 activations, these two run 10 to 600 times slower.
        Way("_weight_int8pack_mm", 8, ("bfloat16",), _int8pack),
        *(
            Way(f"_weight_int4pack_mm g{group}", 4, ("bfloat16",), partial(_int4pack, group),
                in_models=group == 128)
            for group in (32, 64, 128)
        ),
        Way("_int_mm, dynamic", 8, ("float32", "bfloat16"), _int_mm),
        Way("onednn.qlinear, dynamic", 8, ("float32", "bfloat16"), _qlinear),
    ),
)  # fmt: skip
