"""OpenVINO: compressed weights that the matrix product decompresses, as its own tools write them."""

from __future__ import annotations

import functools
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.bench.peers._peer import Call, Peer, Way, group_codes

GROUP = 128


def _compressed(bits: int, precision: str, linear: nn.Linear, _dtype: torch.dtype) -> Call:
    """Codes → float16 → times scale → product. `precision`: what it may compute in."""
    from openvino import opset13 as op

    n, k = linear.out_features, linear.in_features
    x = op.parameter([-1, k], np.float32, name="x")
    weight = op.convert(_weight(bits, linear), np.float32)
    y = op.matmul(x, weight, transpose_a=False, transpose_b=True)
    if linear.bias is not None:
        y = op.add(y, op.constant(linear.bias.detach().float().numpy().reshape(1, n)))
    return _compile(y, x, precision)


def _weight(bits: int, linear: nn.Linear) -> Any:
    """The graph that makes (N, K) in float16 of its codes."""
    from openvino import Tensor, Type
    from openvino import opset13 as op

    n, k = linear.out_features, linear.in_features
    if bits == 8:
        codes, scale = group_codes(linear.weight, 8, k)
        stored = op.convert(op.constant(codes.numpy()), np.float16)
        return op.multiply(stored, op.constant(scale.half().numpy()))
    codes, scale = group_codes(linear.weight, 4, GROUP)
    unsigned = (codes.int() + 8).to(torch.uint8)
    packed = (unsigned[:, 0::2] | (unsigned[:, 1::2] << 4)).contiguous().numpy()
    tensor = Tensor(packed, [n, k // GROUP, GROUP], Type.u4)
    constant = op.constant(tensor, shared_memory=False)  # Else it points into freed memory.
    zero = op.constant(np.full((1, 1, 1), 8, dtype=np.float16))
    centred = op.subtract(op.convert(constant, np.float16), zero)
    scaled = op.multiply(centred, op.constant(scale.half().unsqueeze(-1).numpy()))
    return op.reshape(scaled, op.constant(np.array([n, k])), special_zero=False)


def _plain(precision: str, linear: nn.Linear, _dtype: torch.dtype) -> Call:
    from openvino import opset13 as op

    x = op.parameter([-1, linear.in_features], np.float32, name="x")
    weight = op.constant(linear.weight.detach().float().numpy())
    y = op.matmul(x, weight, transpose_a=False, transpose_b=True)
    if linear.bias is not None:
        y = op.add(y, op.constant(linear.bias.detach().float().numpy().reshape(1, -1)))
    return _compile(y, x, precision)


def _compile(y: Any, x: Any, precision: str) -> Call:
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.Model([y], [x], "linear")
    request = _core().compile_model(model, "CPU", settings).create_infer_request()

    def run(rows: torch.Tensor) -> torch.Tensor:
        found = request.infer({0: rows.numpy()}, share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    return run


@functools.cache
def _core() -> Any:
    """The runtime, once: it reads the machine when it starts."""
    import openvino

    return openvino.Core()


PEER = Peer(
    name="OpenVINO",
    distribution="openvino",
    module="openvino",
    side="next",
    lead="its kernels are generated for each shape, and quantize x in groups of 32 inside the product",
    settle_s=0.02,
    ways=tuple(
        Way(f"{label}, {precision}", bits, ("float32",), make)
        for precision in ("f32", "bf16")
        for label, bits, make in (
            ("int8 weights", 8, partial(_compressed, 8, precision)),
            ("uint4 weights g128", 4, partial(_compressed, 4, precision)),
            ("unquantized", 16 if precision == "bf16" else 32, partial(_plain, precision)),
        )
    ),
)
