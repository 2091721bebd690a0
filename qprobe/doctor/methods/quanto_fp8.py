"""optimum-quanto's float8 weights, `qfloat8`."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._quanto import NEEDS, frozen, load_quanto

METHOD = Method(
    id="quanto-fp8",
    title="optimum-quanto, qfloat8",
    bits=8,
    family="float8 weights",
    script=Layer(
        package="optimum.quanto",
        load=load_quanto,
        make=partial(frozen, "qfloat8"),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.04,
    ),
    needs=NEEDS,
)
