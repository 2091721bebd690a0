"""What the packings in the order of tensor-core fragments have in common.

Output features lie in strips of 32, K in tiles of 32. In a tile, lane l of a warp holds the 8 weights from k = 8·(l mod 4) of
the features l/4, l/4 + 8, l/4 + 16 and l/4 + 24: 16 bytes of 4-bit codes, which it loads at once, beside its neighbours' in
memory. As the operand of an MMA of 16 along K, these 8 are elements 2t, 2t+1, 2t+8, 2t+9 of two products: the sum does not ask
in which order K comes, as long as x comes in the same, and the lane's 8 values of x also lie side by side. A product for
few rows without tensor cores reads the same bytes as 8 weights of each of 4 features, against the same 8 values of x.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

STRIP = 32
"""Output features whose weights lie together."""
TILE = 32
"""Weights along K of a strip that a warp loads at once."""
CHUNK = 128
"""K is padded to a multiple of it: the largest group, and what a warp computes at a time."""
LANE_ROWS, LANE_FEATURES, LANE_COLUMNS = 8, 4, 4
"""Lanes along N, features of each lane, lanes along K."""


def round_up(count: int, multiple: int) -> int:
    """The least multiple that is not below the count."""
    return -(-count // multiple) * multiple


def pad_to(matrix: Tensor, rows: int, columns: int, value: float) -> Tensor:
    """The matrix with rows and columns of `value` added at its ends."""
    below, right = rows - matrix.shape[0], columns - matrix.shape[1]
    return pad(matrix, (0, right, 0, below), value=value)


def order_words(words: Tensor) -> Tensor:
    """Words of 8 codes (N, K/8), padded → (N/32, K/32, 32 lanes, 4 features)."""
    n, count = words.shape
    parts = words.reshape(n // STRIP, LANE_FEATURES, LANE_ROWS, count // LANE_COLUMNS, LANE_COLUMNS)
    return parts.permute(0, 3, 2, 4, 1).reshape(n // STRIP, -1, 32, LANE_FEATURES).contiguous()


def restore_words(packed: Tensor) -> Tensor:
    """The inverse of `order_words`."""
    strips, tiles = packed.shape[:2]
    parts = packed.reshape(strips, tiles, LANE_ROWS, LANE_COLUMNS, LANE_FEATURES)
    return parts.permute(0, 4, 2, 1, 3).reshape(strips * STRIP, tiles * LANE_COLUMNS)


def order_groups(values: Tensor) -> Tensor:
    """One value a feature and group (N, K/G), padded → (N/32, K/G, 8, 4): a lane's four lie together."""
    n, groups = values.shape
    parts = values.reshape(n // STRIP, LANE_FEATURES, LANE_ROWS, groups)
    return parts.permute(0, 3, 2, 1).contiguous()


def restore_groups(ordered: Tensor) -> Tensor:
    """The inverse of `order_groups`."""
    strips, groups = ordered.shape[:2]
    return ordered.permute(0, 3, 2, 1).reshape(strips * STRIP, groups)


def shape_tensor(n: int, k: int, device: torch.device) -> Tensor:
    """The canonical `weight_shape`."""
    return torch.tensor([n, k], device=device)
