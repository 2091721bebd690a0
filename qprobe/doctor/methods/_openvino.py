"""What the methods of OpenVINO share: a graph that decompresses codes, as its own tools write it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qprobe.doctor._layer import Made

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

NEEDS = ("torch", "openvino")


def load_openvino() -> None:
    """Import OpenVINO."""
    import openvino  # noqa: F401


def compressed(bits: int, group: int, linear: nn.Linear, _dtype: torch.dtype) -> Made:
    """Codes → float16 → times scale → product. `group` 0: one scale for each row."""
    import numpy as np
    import openvino
    import torch
    from openvino import opset13 as op

    from qprobe.doctor.scripts.codes import dequantize, group_codes

    n, k = linear.out_features, linear.in_features
    codes, scale = group_codes(linear.weight, bits, group or k)
    x = op.parameter([-1, k], np.float32, name="x")
    weight = op.convert(_weight(bits, codes, scale), np.float32)
    y = op.matmul(x, weight, transpose_a=False, transpose_b=True)
    y = op.add(y, op.constant(linear.bias.detach().float().numpy().reshape(1, n)))
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.Model([y], [x], "linear")
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def run(rows: Tensor) -> Tensor:
        found = request.infer({0: rows.numpy()}, share_inputs=True, share_outputs=True)
        return torch.from_numpy(found[0])

    return Made(run, dequantize(codes, scale.half().float()))


def _weight(bits: int, codes: Tensor, scale: Tensor) -> Any:
    """The graph that makes (N, K) in float16 of codes (N, K) and scales (N, groups)."""
    import numpy as np
    import torch
    from openvino import Tensor as OpenvinoTensor
    from openvino import Type
    from openvino import opset13 as op

    halves = scale.half().numpy()
    if bits == 8:
        return op.multiply(op.convert(op.constant(codes.numpy()), np.float16), op.constant(halves))
    n, k = codes.shape
    groups = scale.shape[1]
    unsigned = (codes.int() + 8).to(torch.uint8)
    packed = (unsigned[:, 0::2] | (unsigned[:, 1::2] << 4)).contiguous().numpy()
    tensor = OpenvinoTensor(packed, [n, groups, k // groups], Type.u4)
    constant = op.constant(tensor, shared_memory=False)  # else it points into freed memory
    zero = op.constant(np.full((1, 1, 1), 8, dtype=np.float16))
    centred = op.subtract(op.convert(constant, np.float16), zero)
    scaled = op.multiply(centred, op.constant(halves.reshape(n, groups, 1)))
    return op.reshape(scaled, op.constant(np.array([n, k])), special_zero=False)
