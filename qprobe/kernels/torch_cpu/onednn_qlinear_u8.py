"""int8 weights and activations shifted to unsigned codes, as VNNI and AVX2 multiply them."""

from __future__ import annotations

from qprobe.kernels._kernel import Kernel, refuse_long_sums
from qprobe.kernels.torch_cpu._onednn import (
    int8_absent,
    int8_max_code,
    pack_int8,
    run_int8,
    unpack_int8,
)

KERNEL = Kernel(
    id="cpu.onednn_qlinear_u8",
    schemes=frozenset({"W8A8"}),
    device="cpu",
    packing="onednn_int8",
    input="uint8",
    absent=int8_absent,
    max_code=int8_max_code,
    refuse=refuse_long_sums,
    pack=pack_int8,
    unpack=unpack_int8,
    run=run_int8,
)
