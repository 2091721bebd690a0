"""`torch._weight_int8pack_mm` with activations in float32: the same operator, by another kernel."""

from __future__ import annotations

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torch import load_torch, make_int8pack

METHOD = Method(
    id="torch-int8pack-fp32",
    title="torch._weight_int8pack_mm, float32 activations",
    bits=8,
    family="int8 weights",
    script=Layer(
        package="torch",
        load=load_torch,
        make=make_int8pack,
        dtypes=("float32",),
        weight_error=0.02,
    ),
    devices=("cpu",),
)
