"""`torch._int_mm`: int8 × int8 → int32, put together the plain way with a scale per row and column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torch import load_torch

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def _make(linear: nn.Linear, dtype: torch.dtype) -> Made:
    import torch

    from qprobe.doctor.scripts.codes import channel_codes, dequantize, token_codes

    codes, scale = channel_codes(linear.weight)
    transposed, scales = codes.t(), scale.reshape(1, -1)  # a view: twice as fast at few rows

    def run(x: Tensor) -> Tensor:
        x_codes, x_scale = token_codes(x)
        y = torch._int_mm(x_codes, transposed).float()
        return y.mul_(scales).mul_(x_scale).add_(linear.bias).to(dtype)

    return Made(run, dequantize(codes, scale))


METHOD = Method(
    id="torch-int-mm",
    title="torch._int_mm",
    bits=8,
    family="int8 weights and activations",
    script=Layer(
        package="torch",
        load=load_torch,
        make=_make,
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.02,
        activation_error=0.02,
    ),
    feature="int8",
    level="quick",
)
