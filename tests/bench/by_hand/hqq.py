"""HQQ: groups of 64 along K."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from tests.bench.by_hand._hand import Call, Hand, own_copy


def _layer(bits: int, linear: nn.Linear, dtype: torch.dtype) -> Call:
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    config = BaseQuantizeConfig(nbits=bits, group_size=64)
    layer: Call = HQQLinear(
        own_copy(linear, torch.float32), config, compute_dtype=dtype, device="cpu"
    )
    return layer


HANDS = {"hqq-int4": Hand(partial(_layer, 4)), "hqq-int8": Hand(partial(_layer, 8))}
