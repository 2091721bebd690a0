"""`torch._weight_int4pack_mm` with activations in float16: the same operator, by another kernel."""

from __future__ import annotations

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torch import load_torch, make_int4pack

METHOD = Method(
    id="torch-int4pack-fp16",
    title="torch._weight_int4pack_mm, float16 activations",
    bits=4,
    family="int4 weights",
    script=Layer(
        package="torch",
        load=load_torch,
        make=make_int4pack,
        dtypes=("float16",),
        weight_error=0.16,
    ),
    devices=("cpu",),
)
