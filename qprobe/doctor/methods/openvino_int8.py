"""OpenVINO's product with int8 weights with a scale for each row, in the type that it prefers here."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._openvino import NEEDS, compressed, load_openvino

METHOD = Method(
    id="openvino-int8",
    title="OpenVINO, int8 weights",
    bits=8,
    family="int8 weights",
    script=Layer(
        package="openvino",
        load=load_openvino,
        make=partial(compressed, 8, 0),
        dtypes=("float32",),
        own_threads=True,
        weight_error=0.02,
        activation_error=0.02,  # it may quantize activations by itself
        computes_in="bfloat16",
    ),
    needs=NEEDS,
    devices=("cpu",),
    in_torch=False,
)
