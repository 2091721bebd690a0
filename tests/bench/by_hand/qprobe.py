"""qprobe's own schemes: the layer that a plan installs, by each kernel that can compute it."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import QprobeError
from qprobe.kernels.registry import kernels_for
from qprobe.layers import make_layer
from tests.bench.by_hand._hand import Call, Hand


def _layers(scheme: str, linear: nn.Linear, dtype: torch.dtype) -> list[Call]:
    made: list[Call] = []
    for kernel in kernels_for("cpu"):
        if scheme in kernel.schemes and not (made and kernel.id == "reference"):
            everywhere = (KernelRange(kernel=kernel.id, m_min=1, m_max=None),)
            try:
                layer = make_layer(linear, SCHEMES[scheme], "rtn", everywhere, dtype)
                layer(torch.zeros(1, linear.in_features, dtype=dtype))
            except QprobeError:  # It is for other shapes, types or processors.
                continue
            made.append(layer)
    if not made:
        raise RuntimeError(f"no kernel computes {scheme} with K = {linear.in_features}")
    return made


QUANTIZED = [name for name in SCHEMES if name not in ("BF16", "FP16", "NONE")]
HANDS = {
    f"qprobe-{name.lower().replace('_', '-')}": Hand(partial(_layers, name)) for name in QUANTIZED
}
