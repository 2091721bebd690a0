"""optimum-quanto's int4 weights, `qint4`."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._quanto import NEEDS, frozen, load_quanto

METHOD = Method(
    id="quanto-int4",
    title="optimum-quanto, qint4",
    bits=4,
    family="int4 weights",
    script=Layer(
        package="optimum.quanto",
        load=load_quanto,
        make=partial(frozen, "qint4"),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.16,
    ),
    needs=NEEDS,
)
