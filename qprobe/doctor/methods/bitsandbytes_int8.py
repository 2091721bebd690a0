"""bitsandbytes' LLM.int8(): int8 products, and 16 bits for the features far above the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor._method import Method
from qprobe.doctor.methods._bitsandbytes import NEEDS, load_bitsandbytes

if TYPE_CHECKING:
    import torch
    from torch import nn

THRESHOLD = 6.0
"""The default of transformers and of the paper."""


def _make(linear: nn.Linear, dtype: torch.dtype) -> Made:
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


METHOD = Method(
    id="bitsandbytes-int8",
    title="bitsandbytes, LLM.int8()",
    bits=8,
    family="int8 weights and activations",
    script=Layer(
        package="bitsandbytes",
        load=load_bitsandbytes,
        make=_make,
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.02,
        activation_error=0.02,
        outliers=True,
    ),
    needs=NEEDS,
    feature="int8",
)
