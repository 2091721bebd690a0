"""torchao: `quantize_` with each configuration, eager."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from tests.bench.by_hand._hand import Call, Hand, own_copy


def _quantized(config: Callable[[], Any], linear: nn.Linear, dtype: torch.dtype) -> Call:
    from torchao.quantization import quantize_

    model = nn.Sequential(own_copy(linear, dtype))
    before = model[0].weight.data_ptr()
    quantize_(model, config())
    weight = model[0].weight
    if type(weight.data) is torch.Tensor and weight.dtype == dtype and weight.data_ptr() == before:
        raise RuntimeError("torchao left the layer as it was")
    layer: Call = model[0]
    return layer


def _int8() -> Any:
    from torchao.quantization import Int8WeightOnlyConfig

    return Int8WeightOnlyConfig()


def _int8_dynamic() -> Any:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    return Int8DynamicActivationInt8WeightConfig()


def _int4() -> Any:
    from torchao.quantization import Int4WeightOnlyConfig

    return Int4WeightOnlyConfig(group_size=128)


def _int4_opaque() -> Any:
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    return PrototypeInt4WeightOnlyConfig(group_size=128, set_inductor_config=False)


def _fp8() -> Any:
    from torchao.quantization import Float8WeightOnlyConfig

    return Float8WeightOnlyConfig()


def _fp8_dynamic() -> Any:
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow

    return Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())


CONFIGS = {
    "torchao-int8": _int8,
    "torchao-int8-dynamic": _int8_dynamic,
    "torchao-int4": _int4,
    "torchao-int4-opaque": _int4_opaque,
    "torchao-fp8": _fp8,
    "torchao-fp8-dynamic": _fp8_dynamic,
}
HANDS = {method: Hand(partial(_quantized, config)) for method, config in CONFIGS.items()}
