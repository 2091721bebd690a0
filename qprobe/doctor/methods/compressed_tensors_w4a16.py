"""compressed-tensors' packed int4 weights, run as transformers runs them: decompressed at first use."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._compressed_tensors import NEEDS, compressed, load_compressed_tensors

METHOD = Method(
    id="compressed-tensors-w4a16",
    title="compressed-tensors, W4A16",
    bits=4,
    family="int4 weights",
    script=Layer(
        package="compressed_tensors",
        load=load_compressed_tensors,
        make=partial(compressed, "W4A16"),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.16,
    ),
    needs=NEEDS,
    note="the first forward pass decompresses it to 16 bits: it saves space on disk only",
)
