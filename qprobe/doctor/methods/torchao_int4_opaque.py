"""torchao's int4 weights in the packing of its prototype for processors."""

from __future__ import annotations

from functools import partial
from typing import Any

from qprobe.doctor._layer import Layer
from qprobe.doctor._method import Method
from qprobe.doctor.methods._torchao import NEEDS, load_torchao, quantized

GROUP = 128


def _config() -> Any:
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    return PrototypeInt4WeightOnlyConfig(group_size=GROUP, set_inductor_config=False)


METHOD = Method(
    id="torchao-int4-opaque",
    title="torchao, prototype int4 for processors",
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
    devices=("cpu",),
)
