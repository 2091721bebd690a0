"""bitsandbytes: LLM.int8() with its threshold, NF4 and FP4."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from tests.bench.by_hand._hand import Call, Hand, own_copy


def _int8(linear: nn.Linear, dtype: torch.dtype) -> Call:
    import bitsandbytes as bnb

    plain = own_copy(linear, dtype)
    made = bnb.nn.Linear8bitLt(
        plain.in_features, plain.out_features, has_fp16_weights=False, threshold=6.0
    )
    made.load_state_dict(plain.state_dict())
    layer: Call = made.to("cpu").eval()
    return layer


def _4bit(kind: str, linear: nn.Linear, dtype: torch.dtype) -> Call:
    import bitsandbytes as bnb

    plain = own_copy(linear, dtype)
    made = bnb.nn.Linear4bit(
        plain.in_features, plain.out_features, compute_dtype=dtype, quant_type=kind
    )
    made.weight = bnb.nn.Params4bit(plain.weight.data, requires_grad=False, quant_type=kind)
    made.bias = plain.bias
    layer: Call = made.to("cpu").eval()
    return layer


HANDS = {
    "bitsandbytes-int8": Hand(_int8, outliers=True),
    "bitsandbytes-nf4": Hand(partial(_4bit, "nf4")),
    "bitsandbytes-fp4": Hand(partial(_4bit, "fp4")),
}
