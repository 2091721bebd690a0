"""ONNX Runtime's product with int4 weights in blocks of 128, computed in int8."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor._method import Method
from qprobe.doctor.methods._onnxruntime import INSTALL, NEEDS, load_onnxruntime, session

if TYPE_CHECKING:
    import torch
    from torch import nn

GROUP = 128
INT8_COMPUTE = 4
"""`accuracy_level` of MatMulNBits: the type in which it may compute."""


def _make(linear: nn.Linear, _dtype: torch.dtype) -> Made:
    """Symmetric: the zero point is the middle by default."""
    import torch

    from qprobe.doctor.scripts.codes import dequantize, group_codes

    codes, scale = group_codes(linear.weight, 4, GROUP)
    n, k = codes.shape
    unsigned = (codes.int() + 8).to(torch.uint8)
    packed = unsigned[:, 0::2] | (unsigned[:, 1::2] << 4)
    inputs = {
        "codes": packed.reshape(n, k // GROUP, GROUP // 2),
        "scale": scale.reshape(-1),
        "bias": linear.bias.detach().float(),
    }
    names = ["x", "codes", "scale", "", "", "bias"]
    attributes = {"K": k, "N": n, "bits": 4, "block_size": GROUP, "accuracy_level": INT8_COMPUTE}
    return Made(session("MatMulNBits", names, inputs, linear, attributes), dequantize(codes, scale))


METHOD = Method(
    id="onnxruntime-int4",
    title="ONNX Runtime, MatMulNBits",
    bits=4,
    family="int4 weights",
    script=Layer(
        package="onnxruntime",
        load=load_onnxruntime,
        make=_make,
        dtypes=("float32",),
        own_threads=True,
        weight_error=0.16,
        activation_error=0.02,
    ),
    needs=NEEDS,
    install=INSTALL,
    devices=("cpu",),
    in_torch=False,
)
