"""HQQ with 4-bit weights in groups of 64."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._hqq import NEEDS, load_hqq, make_groups

METHOD = Method(
    id="hqq-int4",
    title="HQQ, 4 bits",
    bits=4,
    family="int4 weights",
    script=Layer(
        package="hqq",
        load=load_hqq,
        make=partial(make_groups, 4),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.14,
    ),
    needs=NEEDS,
)
