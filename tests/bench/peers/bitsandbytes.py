"""bitsandbytes: LLM.int8() without outliers, and NF4."""

from __future__ import annotations

import torch
from torch import nn

from tests.bench.peers._peer import Call, Peer, Way, copy_linear


def _int8(linear: nn.Linear, dtype: torch.dtype) -> Call:
    from bitsandbytes import nn as bnb

    made = bnb.Linear8bitLt(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        has_fp16_weights=False,
        threshold=0.0,
    )
    plain = copy_linear(linear, dtype)
    made.weight = bnb.Int8Params(plain.weight.data, requires_grad=False, has_fp16_weights=False)
    made.bias = plain.bias
    layer: Call = made.to("cpu").eval()
    return layer


def _nf4(linear: nn.Linear, dtype: torch.dtype) -> Call:
    """The first forward pass in eval mode repacks the weight in place."""
    from bitsandbytes import nn as bnb

    made = bnb.Linear4bit(
        linear.in_features,
        linear.out_features,
        bias=linear.bias is not None,
        compute_dtype=dtype,
        quant_type="nf4",
    )
    plain = copy_linear(linear, dtype)
    made.weight = bnb.Params4bit(plain.weight.data, requires_grad=False, quant_type="nf4")
    made.bias = plain.bias
    layer: Call = made.to("cpu").eval()
    return layer


PEER = Peer(
    name="bitsandbytes",
    distribution="bitsandbytes",
    module="bitsandbytes",
    side="torch",
    ways=(
        Way("Linear8bitLt", 8, ("float32", "bfloat16"), _int8, in_models=True),
        Way("Linear4bit NF4", 4, ("float32", "bfloat16"), _nf4, in_models=True),
    ),
)
