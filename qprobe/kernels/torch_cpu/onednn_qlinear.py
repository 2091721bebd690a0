"""int8 activations and weights through oneDNN: signed codes, as AMX multiplies them."""

from __future__ import annotations

from qprobe.kernels._kernel import Kernel, refuse_long_sums
from qprobe.kernels.device import cpu_features
from qprobe.kernels.torch_cpu._onednn import (
    int8_absent,
    int8_max_code,
    pack_int8,
    run_int8,
    unpack_int8,
)


def _absent(device: str) -> str:
    if words := int8_absent(device):
        return words
    if "amx_int8" not in cpu_features():
        return "without AMX, oneDNN multiplies signed activations by its slow reference code"
    return ""


KERNEL = Kernel(
    id="cpu.onednn_qlinear",
    schemes=frozenset({"W8A8"}),
    device="cpu",
    packing="onednn_int8",
    input="int8",
    absent=_absent,
    max_code=int8_max_code,
    refuse=refuse_long_sums,
    pack=pack_int8,
    unpack=unpack_int8,
    run=run_int8,
)
