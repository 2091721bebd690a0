"""ONNX Runtime's own matrix products with narrow weights, each as a model of one node."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tests.bench.peers._peer import Call, Peer, Way, group_codes

OPSET, CONTRIB_OPSET, IR_VERSION = 17, 1, 8
FLOAT_COMPUTE, INT8_COMPUTE = 1, 4
"""`accuracy_level` of MatMulNBits: the type in which it may compute."""
ERRORS_ONLY = 3


def _dynamic(linear: nn.Linear, _dtype: torch.dtype) -> Call:
    """DynamicQuantizeMatMul: one scale and zero point for all of x, one scale for each column."""
    codes, scale = group_codes(linear.weight, 8, linear.in_features)
    inputs = {
        "codes": codes.t().contiguous(),
        "scale": scale.reshape(-1),
        "zero": torch.zeros(linear.out_features, dtype=torch.int8),
        "bias": _bias(linear),
    }
    return _session("DynamicQuantizeMatMul", ["x", *inputs], inputs, linear, {})


def _blocks(bits: int, group: int, level: int, linear: nn.Linear, _dtype: torch.dtype) -> Call:
    """MatMulNBits: blocks along K, symmetric; the zero point is the middle by default."""
    codes, scale = group_codes(linear.weight, bits, group)
    unsigned = (codes.int() + 2 ** (bits - 1)).to(torch.uint8)
    if bits == 4:
        unsigned = unsigned[:, 0::2] | (unsigned[:, 1::2] << 4)
    n, k = linear.out_features, linear.in_features
    inputs = {
        "codes": unsigned.reshape(n, k // group, group * bits // 8),
        "scale": scale.reshape(-1),
        "bias": _bias(linear),
    }
    names = ["x", "codes", "scale", "", "", "bias"]
    attributes = {"K": k, "N": n, "bits": bits, "block_size": group, "accuracy_level": level}
    return _session("MatMulNBits", names, inputs, linear, attributes)


def _bias(linear: nn.Linear) -> Tensor:
    if linear.bias is None:
        return torch.zeros(linear.out_features)
    return linear.bias.detach().float()


@functools.cache
def _runtime() -> Any:
    """The package, with as many threads as torch for all sessions together.

    With threads of its own each copy of a layer would have to wake them: 20 times slower.
    """
    import onnxruntime

    onnxruntime.set_global_thread_pool_sizes(torch.get_num_threads(), 1)
    return onnxruntime


def _session(
    operator: str,
    names: list[str],
    tensors: Mapping[str, Tensor],
    linear: nn.Linear,
    attributes: dict[str, Any],
) -> Call:
    """A session that runs one node."""
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node(operator, names, ["y"], domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["m", linear.in_features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", linear.out_features])],
        [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in tensors.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", CONTRIB_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.use_per_session_threads = False
    options.intra_op_num_threads = options.inter_op_num_threads = 0
    options.log_severity_level = ERRORS_ONLY
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


PEER = Peer(
    name="ONNX Runtime",
    distribution="onnxruntime",
    module="onnxruntime",
    side="next",
    lead="x is quantized inside the product (by one scale, or one for each block of K), so that even "
    "4-bit weights are multiplied as integers, and there is no Python between the two",
    settle_s=0.02,
    ways=(
        Way("DynamicQuantizeMatMul int8", 8, ("float32",), _dynamic),
        Way("MatMulNBits 8 b128, int8 compute", 8, ("float32",),
            partial(_blocks, 8, 128, INT8_COMPUTE)),
        *(
            Way(f"MatMulNBits 4 b{group}, int8 compute", 4, ("float32",),
                partial(_blocks, 4, group, INT8_COMPUTE))
            for group in (32, 128)
        ),
        Way("MatMulNBits 4 b128, float compute", 4, ("float32",),
            partial(_blocks, 4, 128, FLOAT_COMPUTE)),
    ),
)  # fmt: skip
