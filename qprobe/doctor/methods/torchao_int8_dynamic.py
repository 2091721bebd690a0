"""torchao's int8 weights against int8 activations, a scale per token, eager."""

from __future__ import annotations

from functools import partial
from typing import Any

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torchao import NEEDS, load_torchao, quantized


def _config() -> Any:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    return Int8DynamicActivationInt8WeightConfig()


METHOD = Method(
    id="torchao-int8-dynamic",
    title="torchao, Int8DynamicActivationInt8WeightConfig",
    bits=8,
    family="int8 weights and activations",
    script=Layer(
        package="torchao",
        load=load_torchao,
        make=partial(quantized, _config),
        dtypes=("bfloat16", "float16", "float32"),
        weight_error=0.02,
        activation_error=0.02,
    ),
    needs=NEEDS,
    feature="int8",
    without="slow",
    fallback="where torch._int_mm fails, it multiplies in float32",
)
