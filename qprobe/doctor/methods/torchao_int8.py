"""torchao's int8 weight-only configuration, eager."""

from __future__ import annotations

from functools import partial
from typing import Any

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torchao import NEEDS, load_torchao, quantized


def _config() -> Any:
    from torchao.quantization import Int8WeightOnlyConfig

    return Int8WeightOnlyConfig()


METHOD = Method(
    id="torchao-int8",
    title="torchao, Int8WeightOnlyConfig",
    bits=8,
    family="int8 weights",
    script=Layer(
        package="torchao",
        load=load_torchao,
        make=partial(quantized, _config),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.02,
    ),
    needs=NEEDS,
)
