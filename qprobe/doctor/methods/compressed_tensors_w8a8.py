"""compressed-tensors' int8 weights and activations, run as transformers runs them: in simulation."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._compressed_tensors import NEEDS, compressed, load_compressed_tensors

METHOD = Method(
    id="compressed-tensors-w8a8",
    title="compressed-tensors, W8A8",
    bits=8,
    family="int8 weights and activations",
    script=Layer(
        package="compressed_tensors",
        load=load_compressed_tensors,
        make=partial(compressed, "W8A8"),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.02,
        activation_error=0.02,
    ),
    needs=NEEDS,
    note="the first forward pass decompresses it to 16 bits: it saves space on disk only",
)
