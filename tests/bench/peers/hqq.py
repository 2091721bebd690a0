"""HQQ: groups of 64 along K, by its own PyTorch backend, the one that there is for a CPU."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from tests.bench.peers._peer import Call, Peer, Way, copy_linear


def _groups(bits: int, linear: nn.Linear, dtype: torch.dtype) -> Call:
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

    layer: Call = HQQLinear(
        copy_linear(linear, torch.float32),
        BaseQuantizeConfig(nbits=bits, group_size=64, axis=1),
        compute_dtype=dtype,
        device="cpu",
    ).eval()
    return layer


PEER = Peer(
    name="HQQ",
    distribution="hqq",
    module="hqq",
    side="torch",
    ways=tuple(
        Way(f"{bits} bits g64", bits, ("bfloat16",), partial(_groups, bits)) for bits in (8, 4)
    ),
)
