"""The scale that rounds best: round to nearest, tried at several scales, block by block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FACTORS = {
    "rtn": (1.0,),
    "rtn_reduce_range": (1.0,),
    "mse": tuple(1 - step / 20 for step in range(9)),
}
"""Algorithm → the factors of the full scale that are tried. Below 0.6 no distribution of weights
gains: what is clipped costs more than finer steps save."""
CHUNK = 2**18
"""Weights that are worked on at once: their temporaries stay in the caches."""

Encode = Callable[[Tensor, float], tuple[Tensor, tuple[Tensor, ...]]]
"""Blocks (R, B) float32 and a factor → what is stored stands for, (R, B), and the stored parts,
each with R rows."""


def encode_blocks(blocks: Tensor, encode: Encode, algorithm: str) -> tuple[Tensor, ...]:
    """The parts of the blocks (R, B), for each row those of the factor with the least squared error.

    Minimising ‖w − ŵ‖² over the clipping range is what OMSE does (Choukroun et al., 2019).
    """
    rows = max(1, CHUNK // max(1, blocks.shape[1]))
    found = [_encode_chunk(chunk, encode, algorithm) for chunk in blocks.split(rows)]
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _encode_chunk(blocks: Tensor, encode: Encode, algorithm: str) -> tuple[Tensor, ...]:
    real = blocks.to(torch.float32)
    first, *others = FACTORS[algorithm]
    value, best = encode(real, first)
    if not others:
        return best
    least = (value - real).square_().sum(dim=1, keepdim=True)
    for factor in others:
        value, parts = encode(real, factor)
        error = (value - real).square_().sum(dim=1, keepdim=True)
        better = error < least
        least = torch.where(better, error, least)
        best = tuple(torch.where(better, new, old) for new, old in zip(parts, best, strict=True))
    return best


def positive(scale: Tensor) -> Tensor:
    """The scale, 1 where it vanishes: a block of zeros is stored as zeros."""
    return scale.where(scale > 0, torch.ones_like(scale))
