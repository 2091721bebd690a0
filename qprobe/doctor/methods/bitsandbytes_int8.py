"""bitsandbytes' LLM.int8(): int8 products, and 16 bits for the features far above the rest."""

from __future__ import annotations

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._bitsandbytes import FAULTS, NEEDS, load_bitsandbytes, make_int8

METHOD = Method(
    id="bitsandbytes-int8",
    title="bitsandbytes, LLM.int8()",
    bits=8,
    family="int8 weights and activations",
    script=Layer(
        package="bitsandbytes",
        load=load_bitsandbytes,
        make=make_int8,
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.02,
        activation_error=0.02,
        outliers=True,
    ),
    needs=NEEDS,
    feature="int8",
    without="slow",
    fallback="it multiplies in floating point, or fails, by its version and the shape",
    faults=FAULTS | {"slow-fallback": "slow", "no-fallback": "slow"},
)
