"""Activations to 8-bit codes, one scale for each token (row), computed at each call."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from qprobe.kernels.cpp._activations import TYPES, find_quantizer, quantize_rows
from qprobe.kernels.cuda import quantizer

MAX_CODE = 127
"""Symmetric: −128 is not used."""
LARGEST_FLOAT8 = torch.finfo(torch.float8_e4m3fn).max
SMALL = 2**16
"""Elements up to which operators cost more than memory."""
ZERO_POINTS = {"uint8": 128, "int8": 0, "float8_e4m3fn": 0}
"""Input of a kernel → the code of 0."""


def quantize_tokens(x: Tensor, form: str) -> tuple[Tensor, Tensor]:
    """Codes and scales of activations: x ≈ (codes − zero point) · scale.

    Args:
        x: (…, K), floating point.
        form: "uint8" (zero point 128), "int8" or "float8_e4m3fn" (zero point 0).

    Returns:
        Codes (…, K), contiguous, and scales (…, 1) in float32. A row of zeros gets codes of zero;
        a row with NaN or infinity gets a scale that carries it into the output.
    """
    quantize = find_quantizer() if x.device.type == "cpu" else None
    if quantize is not None:
        x = x if x.dtype in TYPES else x.to(torch.float32)
        return quantize_rows(quantize, x, form)
    if x.is_cuda and quantizer.can_quantize(x, form):
        return quantizer.quantize_rows(x)
    real = x.to(torch.float32).contiguous()
    largest = LARGEST_FLOAT8 if form == "float8_e4m3fn" else MAX_CODE
    if real.numel() <= SMALL:
        peak = real.abs().amax(dim=-1, keepdim=True)
    else:  # One operator more, but no temporary of the size of x.
        low, high = real.amin(dim=-1, keepdim=True), real.amax(dim=-1, keepdim=True)
        peak = torch.maximum(high, low.neg_())
    peak.clamp_min_(torch.finfo(torch.float32).tiny * largest)
    inverse, scale = _constant(largest, x.device).div(peak), peak.div(largest)
    if form == "int8":
        return (real * inverse).round_().to(torch.int8), scale
    if form == "float8_e4m3fn":
        # The largest may be rounded beyond the type's range, where the conversion gives NaN.
        return (real * inverse).clamp_(-largest, largest).to(torch.float8_e4m3fn), scale
    # Adding the zero point and a half makes the conversion, which truncates, round to nearest: one
    # pass less than rounding first. 127 + 128.5 stays below 256.
    offset = _constant(ZERO_POINTS["uint8"] + 0.5, x.device)
    return torch.addcmul(offset, real, inverse).to(torch.uint8), scale


def dequantize_tokens(codes: Tensor, scale: Tensor) -> Tensor:
    """What codes (…, K) and scales (…, 1) of any form stand for, in float64."""
    zero_point = ZERO_POINTS[str(codes.dtype).removeprefix("torch.")]
    return (codes.to(torch.float32).double() - zero_point) * scale.double()


def _constant(value: float, device: torch.device) -> Tensor:
    if device.type == "cpu":
        return _kept_constant(value)
    # Kept, it could be of the memory of a CUDA graph that is gone.
    return torch.full((), value, dtype=torch.float32, device=device)


@functools.cache
def _kept_constant(value: float) -> Tensor:
    return torch.full((), value, dtype=torch.float32, device="cpu")
