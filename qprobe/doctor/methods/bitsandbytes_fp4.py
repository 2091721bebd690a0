"""bitsandbytes' `Linear4bit` with FP4 weights, as QLoRA uses it."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._bitsandbytes import FAULTS, NEEDS, load_bitsandbytes, make_4bit

METHOD = Method(
    id="bitsandbytes-fp4",
    title="bitsandbytes, FP4",
    bits=4,
    family="float4 weights",
    script=Layer(
        package="bitsandbytes",
        load=load_bitsandbytes,
        make=partial(make_4bit, "fp4"),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.2,
        computes_in="bfloat16",  # on a processor, for every type
    ),
    needs=NEEDS,
    faults=FAULTS,
)
