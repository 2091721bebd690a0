"""In the place of torch's CUDA operators: what they insist on, and what they compute, on the processor."""

from __future__ import annotations

import torch

GROUPS = (32, 64, 128, 256)


def insist(holds, words):
    """As TORCH_CHECK does."""
    if not holds:
        raise RuntimeError(words)


def int_mm(x, weight):
    insist(x.is_contiguous() and weight.is_contiguous(), "K is innermost")
    insist(x.shape[0] > 16, f"self.size(0) needs to be greater than 16, but got {x.shape[0]}")
    insist(x.shape[1] % 8 == 0, "self.size(1) needs to be a multiple of 8")
    insist(weight.shape[0] % 8 == 0, "mat2.size(1) needs to be a multiple of 8")
    return (x.to(torch.int32) @ weight.t().to(torch.int32)).to(torch.int32)


def scaled_mm(x, weight, x_scale, scale, dtype):
    insist(x.is_contiguous() and weight.is_contiguous(), "K is innermost")
    insist(x.shape[1] % 16 == 0, "Expected trailing dimension of mat1 to be divisible by 16")
    insist(weight.shape[0] % 16 == 0, "mat2 shape must be divisible by 16")
    insist(x_scale.dtype == scale.dtype == torch.float32, "scales must be float32")
    insist(x_scale.is_contiguous() and scale.is_contiguous(), "scales must be contiguous")
    if x_scale.numel() == 1 and scale.numel() == 1:
        pass
    else:
        insist(x_scale.shape == (len(x), 1), "scale_a has to be (M, 1)")
        insist(scale.shape == (1, len(weight)), "scale_b has to be (1, N)")
        insist(dtype == torch.bfloat16, "Only bf16 high precision output types are supported")
    return ((x.double() @ weight.double().t()) * x_scale.double() * scale.double()).to(dtype)


def convert_int4(codes, inner_tiles):
    insist(codes.dtype == torch.uint8 and codes.is_contiguous(), "Byte and contiguous")
    insist(inner_tiles in (2, 4, 8), "2, 4 or 8 tiles")
    n, half = codes.shape
    insist(n % 8 == 0 and half * 2 % (inner_tiles * 16) == 0, "whole tiles")
    # The layout is the operator's own business: here, one of the shape that it has on CUDA.
    return codes.view(torch.int32).reshape(
        n // 8, half * 2 // (inner_tiles * 16), 32, inner_tiles // 2
    )


def int4_mm(x, packed, group, scales):
    insist(x.dtype == scales.dtype == torch.bfloat16, "bfloat16")
    insist(x.is_contiguous() and scales.is_contiguous(), "contiguous")
    insist(group in GROUPS, "a group of 32 to 256")
    n, k = packed.shape[0] * 8, x.shape[1]
    insist(scales.shape == (k // group, n, 2), "scale and offset of each group")
    pairs = packed.reshape(n, -1).view(torch.uint8)
    codes = torch.stack([pairs >> 4, pairs & 0xF], dim=-1).reshape(n, k).double()
    wide = scales.double().repeat_interleave(group, dim=0)
    weight = (codes - 8) * wide[..., 0].t() + wide[..., 1].t()
    return (x.double() @ weight.t()).to(torch.bfloat16)


ALL = {f.__name__: f for f in (int_mm, scaled_mm, convert_int4, int4_mm)}
