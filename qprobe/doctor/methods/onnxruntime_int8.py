"""ONNX Runtime's int8 product with activations quantized at each call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor._method import Method
from qprobe.doctor.methods._onnxruntime import INSTALL, NEEDS, load_onnxruntime, session

if TYPE_CHECKING:
    import torch
    from torch import nn


def _make(linear: nn.Linear, _dtype: torch.dtype) -> Made:
    """One scale and zero point for all of x, one scale for each column."""
    import torch

    from qprobe.doctor.scripts.codes import channel_codes, dequantize

    codes, scale = channel_codes(linear.weight)
    inputs = {
        "codes": codes.t().contiguous(),
        "scale": scale.reshape(-1),
        "zero": torch.zeros(linear.out_features, dtype=torch.int8),
        "bias": linear.bias.detach().float(),
    }
    run = session("DynamicQuantizeMatMul", ["x", *inputs], inputs, linear, {})
    return Made(run, dequantize(codes, scale))


METHOD = Method(
    id="onnxruntime-int8",
    title="ONNX Runtime, DynamicQuantizeMatMul",
    bits=8,
    family="int8 weights and activations",
    script=Layer(
        package="onnxruntime",
        load=load_onnxruntime,
        make=_make,
        dtypes=("float32",),
        own_threads=True,
        weight_error=0.02,
        activation_error=0.03,  # one scale for all rows
    ),
    needs=NEEDS,
    install=INSTALL,
    devices=("cpu",),
    in_torch=False,
    feature="int8",
)
