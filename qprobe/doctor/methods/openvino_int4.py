"""OpenVINO's product with int4 weights in groups of 128, in the type that it prefers here."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._openvino import NEEDS, compressed, load_openvino

METHOD = Method(
    id="openvino-int4",
    title="OpenVINO, int4 weights",
    bits=4,
    family="int4 weights",
    script=Layer(
        package="openvino",
        load=load_openvino,
        make=partial(compressed, 4, 128),
        dtypes=("float32",),
        own_threads=True,
        weight_error=0.16,
        activation_error=0.02,  # it may quantize activations by itself
        computes_in="bfloat16",
    ),
    needs=NEEDS,
    devices=("cpu",),
    in_torch=False,
)
