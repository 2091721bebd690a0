"""`torch._scaled_mm`: float8 × float8, a scale for each row and column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qprobe.doctor._layer import Layer, Made
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torch import load_torch

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

LARGEST = 448.0
"""Of float8_e4m3fn."""


def _make(linear: nn.Linear, dtype: torch.dtype) -> Made:
    import torch

    kind = torch.float8_e4m3fn
    scale = linear.weight.abs().amax(-1, keepdim=True) / LARGEST
    codes = (linear.weight / scale).to(kind)
    one = torch.ones((), device=linear.weight.device)

    def run(x: Tensor) -> Tensor:
        x_scale = x.abs().amax(-1, keepdim=True).float() / LARGEST
        x_codes = (x / x_scale).to(kind)
        y = torch._scaled_mm(x_codes, codes.t(), one, one, out_dtype=dtype)
        return (y.float() * x_scale * scale.t() + linear.bias).to(dtype)

    return Made(run, codes.float() * scale)


METHOD = Method(
    id="torch-scaled-mm",
    title="torch._scaled_mm, float8",
    bits=8,
    family="float8 weights and activations",
    script=Layer(
        package="torch",
        load=load_torch,
        make=_make,
        dtypes=("bfloat16", "float32"),
        weight_error=0.04,
        activation_error=0.04,
    ),
    feature="fp8",
)
