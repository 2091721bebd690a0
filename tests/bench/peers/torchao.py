"""torchao: weight-only and dynamic configurations, eager."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from tests.bench.peers._peer import Call, Peer, Way, copy_linear


def _int8_weight_only() -> Any:
    from torchao.quantization import Int8WeightOnlyConfig

    return Int8WeightOnlyConfig()


def _int8_dynamic() -> Any:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    return Int8DynamicActivationInt8WeightConfig()


def _int4_opaque(group: int) -> Any:
    """The only int4 of torchao that runs on a CPU."""
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    return PrototypeInt4WeightOnlyConfig(group_size=group, set_inductor_config=False)


def _int4_dynamic() -> Any:
    """int8 activations against int4 weights; needs operators that only some builds have."""
    from torchao.prototype.quantization.int4 import Int8DynamicActivationInt4WeightConfig

    return Int8DynamicActivationInt4WeightConfig()


def _quantized(config: Callable[[], Any], linear: nn.Linear, dtype: torch.dtype) -> Call:
    from torchao.quantization import quantize_

    layer = copy_linear(linear, dtype)
    quantize_(layer, config())
    return layer


def _way(
    label: str, bits: int, config: Callable[[], Any], *dtypes: str, in_models: bool = True
) -> Way:
    names: Any = dtypes
    return Way(label, bits, names, partial(_quantized, config), in_models)


PEER = Peer(
    name="torchao",
    distribution="torchao",
    module="torchao",
    side="torch",
    ways=(
        _way("int8 weight-only", 8, _int8_weight_only, "float32", "bfloat16"),
        _way("int8 dynamic", 8, _int8_dynamic, "float32", "bfloat16"),
        _way("int4 opaque g128", 4, partial(_int4_opaque, 128), "bfloat16"),
        _way("int4 opaque g32", 4, partial(_int4_opaque, 32), "bfloat16", in_models=False),
        _way("int8 dynamic, int4 weights", 4, _int4_dynamic, "float32", "bfloat16"),
    ),
)
