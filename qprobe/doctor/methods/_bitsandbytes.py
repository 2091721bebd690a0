"""What the methods of bitsandbytes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from qprobe.doctor._layer import Made

if TYPE_CHECKING:
    import torch
    from torch import nn

NEEDS = ("torch", "bitsandbytes")
FAULTS: dict[str, Literal["broken", "slow"]] = {"cuda13-wheel": "broken", "cuda128-wheel": "broken"}
"""Its libraries that have no code for a card."""
THRESHOLD = 6.0
"""The default of transformers and of the paper."""


def load_bitsandbytes() -> None:
    """Import bitsandbytes."""
    import bitsandbytes  # noqa: F401


def make_4bit(kind: str, linear: nn.Linear, dtype: torch.dtype) -> Made:
    """`Linear4bit` with its defaults; `kind` is "nf4" or "fp4".

    The stored weight is taken before the first forward pass, which repacks it in place on a CPU.
    """
    from bitsandbytes import functional
    from bitsandbytes import nn as bnb
    from torch import nn

    made = bnb.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=True,
        compute_dtype=dtype,
        quant_type=kind,
    )
    weight = linear.weight.detach().to("cpu", dtype, copy=True)
    made.weight = bnb.Params4bit(weight, requires_grad=False, quant_type=kind)
    made.bias = nn.Parameter(linear.bias.to(dtype, copy=True), requires_grad=False)
    layer = made.to(linear.weight.device).eval()
    stored = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return Made(layer, stored.float())


def make_int8(linear: nn.Linear, dtype: torch.dtype) -> Made:
    """`Linear8bitLt` as transformers makes it."""
    from bitsandbytes import nn as bnb
    from torch import nn

    made = bnb.Linear8bitLt(
        linear.in_features,
        linear.out_features,
        bias=True,
        has_fp16_weights=False,
        threshold=THRESHOLD,
    )
    weight = linear.weight.detach().to("cpu", dtype, copy=True)
    made.weight = bnb.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    made.bias = nn.Parameter(linear.bias.to(dtype, copy=True), requires_grad=False)
    layer = made.to(linear.weight.device).eval()
    stored = layer.weight.CB.float() * layer.weight.SCB.float().unsqueeze(-1) / 127
    return Made(layer, stored)
