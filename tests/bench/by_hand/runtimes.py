"""ONNX Runtime and OpenVINO, as the benchmark of the peers writes their models."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from tests.bench.by_hand._hand import Call, Hand
from tests.bench.peers._peer import all_peers

LABELS = {
    "onnxruntime-int8": ("ONNX Runtime", "DynamicQuantizeMatMul int8"),
    "onnxruntime-int4": ("ONNX Runtime", "MatMulNBits 4 b128, int8 compute"),
    "openvino-int8": ("OpenVINO", "int8 weights, bf16"),
    "openvino-int4": ("OpenVINO", "uint4 weights g128, bf16"),
}


def _peer(name: str, label: str, linear: nn.Linear, dtype: torch.dtype) -> Call:
    (way,) = (way for way in all_peers()[name].ways if way.label == label)
    return way.make(linear, dtype)


HANDS = {method: Hand(partial(_peer, *which), own_threads=True) for method, which in LABELS.items()}
