"""optimum-quanto: quantize, freeze."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from tests.bench.by_hand._hand import Call, Hand, own_copy


def _frozen(kind: str, linear: nn.Linear, dtype: torch.dtype) -> Call:
    from optimum.quanto import freeze, quantize

    model = nn.Sequential(own_copy(linear, dtype))
    quantize(model, weights=kind)
    freeze(model)
    layer: Call = model[0]
    return layer


HANDS = {
    "quanto-int8": Hand(partial(_frozen, "qint8")),
    "quanto-int4": Hand(partial(_frozen, "qint4")),
    "quanto-fp8": Hand(partial(_frozen, "qfloat8")),
}
