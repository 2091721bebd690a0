"""optimum-quanto: integer weights, with and without integer activations."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from tests.bench.cpu_data import draw_rows
from tests.bench.peers._peer import Call, Peer, Way, copy_linear

CALIBRATION_ROWS = 64


def _weights(name: str, linear: nn.Linear, dtype: torch.dtype) -> Call:
    from optimum import quanto

    holder = nn.Sequential(copy_linear(linear, dtype))
    quanto.quantize(holder, weights=quanto.qtypes[name])
    quanto.freeze(holder)
    layer: Call = holder[0].eval()
    return layer


def _static(linear: nn.Linear, dtype: torch.dtype) -> Call:
    """Activations in int8 as well, with one scale that is calibrated ahead."""
    from optimum import quanto

    holder = nn.Sequential(copy_linear(linear, dtype))
    quanto.quantize(holder, weights=quanto.qint8, activations=quanto.qint8)
    with quanto.Calibration():
        holder(draw_rows(CALIBRATION_ROWS, linear.in_features, seed=2).to(dtype))
    quanto.freeze(holder)
    inner = holder.eval()

    def run(x: torch.Tensor) -> torch.Tensor:
        y = inner(x)
        whole: torch.Tensor = y.dequantize() if isinstance(y, quanto.QTensor) else y
        return whole

    return run


PEER = Peer(
    name="quanto",
    distribution="optimum-quanto",
    module="optimum.quanto",
    side="torch",
    ways=(
        Way("qint8", 8, ("float32", "bfloat16"), partial(_weights, "qint8"), in_models=True),
        Way("qint8, activations qint8", 8, ("float32", "bfloat16"), _static),
        # With float32 activations it dequantizes in Python, 40 ms a layer.
        Way("qint4", 4, ("bfloat16",), partial(_weights, "qint4"), in_models=True),
    ),
)
