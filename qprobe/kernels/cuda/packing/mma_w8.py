"""8-bit integer weights in the order of tensor-core fragments.

`pack` gives the words (N/32, K/32, 2, 32, 4) int32 and the scales (⌈N/32⌉·32,) float32; N is padded to 32, K to 128. Lane l
holds in the first half of a tile the features l/4 and l/4 + 8, two words each, in the second l/4 + 16 and l/4 + 24.
A byte is the code + 128; in a word the four stand in the order 0, 2, 1, 3 along K, so that neighbours are 16 bits apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda.packing._strips import (
    CHUNK,
    LANE_COLUMNS,
    LANE_ROWS,
    STRIP,
    TILE,
    pad_to,
    round_up,
)

OFFSET = -0x80
"""What a code is flipped with, as int8: adds 128 modulo 256."""


def pack(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """Words and scales, from the canonical tensors of a layer."""
    n, k = round_up(spec.n, STRIP), round_up(spec.k, CHUNK)
    codes = pad_to(tensors["weight"], n, k, 0) ^ OFFSET
    # Along N: strip, half, feature of the half, lane; along K: tile, lane, word, pair, neighbour.
    parts = codes.reshape(n // STRIP, 2, 2, LANE_ROWS, k // TILE, LANE_COLUMNS, 2, 2, 2)
    ordered = parts.permute(0, 4, 1, 3, 5, 2, 6, 8, 7).contiguous()
    words = ordered.reshape(-1).view(torch.int32).reshape(n // STRIP, k // TILE, 2, 32, 4)
    return [words, pad_to(tensors["weight_scale"], n, 1, 0).reshape(-1).contiguous()]


def unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors."""
    words, scales = packed
    strips, tiles = words.shape[:2]
    ordered = words.view(torch.int8).reshape(strips, tiles, 2, LANE_ROWS, LANE_COLUMNS, 2, 2, 2, 2)
    codes = ordered.permute(0, 2, 5, 3, 1, 4, 6, 8, 7).reshape(strips * STRIP, tiles * TILE)
    return {
        "weight": (codes[: spec.n, : spec.k] ^ OFFSET).contiguous(),
        "weight_scale": scales[: spec.n].reshape(-1, 1).clone(),
    }
