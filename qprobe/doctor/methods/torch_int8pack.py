"""`torch._weight_int8pack_mm` with activations in 16 bits."""

from __future__ import annotations

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torch import load_torch, make_int8pack
from qprobe.documents.finding import Fix

METHOD = Method(
    id="torch-int8pack",
    title="torch._weight_int8pack_mm",
    bits=8,
    family="int8 weights",
    script=Layer(
        package="torch",
        load=load_torch,
        make=make_int8pack,
        dtypes=("bfloat16",),
        weight_error=0.02,
    ),
    feature="bf16",
    without="slow",
    fallback="bfloat16 is emulated",
    cure=Fix(
        text="Pad K to a multiple of 16: with bfloat16 activations it reads past the end of other rows. "
        "qprobe's W8A16 uses it only where that is so.",
        commands=("qprobe doctor qprobe-w8a16",),
    ),
)
