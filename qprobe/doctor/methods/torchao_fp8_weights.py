"""torchao's float8 weight-only configuration."""

from __future__ import annotations

from functools import partial
from typing import Any

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torchao import NEEDS, load_torchao, quantized


def _config() -> Any:
    from torchao.quantization import Float8WeightOnlyConfig

    return Float8WeightOnlyConfig()


METHOD = Method(
    id="torchao-fp8",
    title="torchao, Float8WeightOnlyConfig",
    bits=8,
    family="float8 weights",
    script=Layer(
        package="torchao",
        load=load_torchao,
        make=partial(quantized, _config),
        dtypes=("bfloat16", "float32"),
        weight_error=0.04,
    ),
    needs=NEEDS,
)
