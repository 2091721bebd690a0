"""torch.ao's dynamic quantization (`quantize_dynamic`), by each engine that this torch has."""

from __future__ import annotations

import warnings
from functools import partial

import torch
from torch import nn

from tests.bench.peers._peer import Call, Peer, Way, copy_linear


def _dynamic(engine: str, linear: nn.Linear, _dtype: torch.dtype) -> Call:
    """One scale and zero point for all of x at each call, one scale for each output channel."""
    from torch.ao import quantization

    if engine not in torch.backends.quantized.supported_engines:
        raise RuntimeError(f"this torch has no engine {engine}")
    torch.backends.quantized.engine = engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = quantization.quantize_dynamic(
            nn.Sequential(copy_linear(linear, torch.float32)),
            {nn.Linear: quantization.per_channel_dynamic_qconfig},
        )
    layer: Call = made[0]
    return layer


PEER = Peer(
    name="torch.ao",
    distribution="torch",
    module="torch.ao.quantization",
    side="torch",
    ways=tuple(
        Way(f"quantize_dynamic {engine}", 8, ("float32",), partial(_dynamic, engine),
            in_models=engine != "x86")
        for engine in ("onednn", "fbgemm", "x86")
    ),
)  # fmt: skip
