"""torchao's int4 weight-only configuration with its defaults."""

from __future__ import annotations

from functools import partial
from typing import Any

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torchao import NEEDS, load_torchao, quantized

GROUP = 128


def _config() -> Any:
    from torchao.quantization import Int4WeightOnlyConfig

    return Int4WeightOnlyConfig(group_size=GROUP)


METHOD = Method(
    id="torchao-int4",
    title="torchao, Int4WeightOnlyConfig",
    bits=4,
    family="int4 weights",
    script=Layer(
        package="torchao",
        load=load_torchao,
        make=partial(quantized, _config),
        dtypes=("bfloat16",),
        weight_error=0.16,
    ),
    needs=NEEDS,
    feature="bf16",
)
