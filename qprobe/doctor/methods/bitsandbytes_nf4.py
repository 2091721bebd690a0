"""bitsandbytes' `Linear4bit` with NF4 weights, as QLoRA uses it."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._bitsandbytes import FAULTS, NEEDS, load_bitsandbytes, make_4bit

METHOD = Method(
    id="bitsandbytes-nf4",
    title="bitsandbytes, NF4",
    bits=4,
    family="NormalFloat4 weights",
    script=Layer(
        package="bitsandbytes",
        load=load_bitsandbytes,
        make=partial(make_4bit, "nf4"),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.12,
        computes_in="bfloat16",  # on a processor, for every type
    ),
    needs=NEEDS,
    faults=FAULTS,
)
