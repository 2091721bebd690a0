"""8-bit weights as they are, row by row, for products with 8-bit activations.

`pack` gives the codes (N, K') int8, K padded with zeros to K', a multiple of 16, and the scales (N,) float32. A row of K' bytes can be
loaded 16 at a time; codes of activations are padded likewise.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda.packing._strips import pad_to, round_up

CHUNK = 16
"""Codes that a thread loads at once."""


def pack(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """Codes and scales, from the canonical tensors of a layer."""
    codes = pad_to(tensors["weight"], spec.n, round_up(spec.k, CHUNK), 0)
    return [codes.contiguous(), tensors["weight_scale"].reshape(-1).contiguous()]


def unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors."""
    codes, scales = packed
    return {
        "weight": codes[:, : spec.k].contiguous(),
        "weight_scale": scales.reshape(-1, 1).clone(),
    }
