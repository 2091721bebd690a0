"""torchao's float8 weights against float8 activations."""

from __future__ import annotations

from functools import partial
from typing import Any

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torchao import NEEDS, load_torchao, quantized


def _config() -> Any:
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow

    return Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())


METHOD = Method(
    id="torchao-fp8-dynamic",
    title="torchao, Float8DynamicActivationFloat8WeightConfig",
    bits=8,
    family="float8 weights and activations",
    script=Layer(
        package="torchao",
        load=load_torchao,
        make=partial(quantized, _config),
        dtypes=("bfloat16",),
        weight_error=0.04,
        activation_error=0.04,
    ),
    needs=NEEDS,
    feature="fp8",
)
