"""Fills matrices up with zeros to the multiples that operators insist on; nothing is lost by it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from qprobe.kernels.cuda.launch import align

_BITS = torch.uint8


def round_up(size: int, multiple: int) -> int:
    """The next multiple, or the size itself."""
    return -(-size // multiple) * multiple


def pad_matrix(matrix: Tensor, rows: int, columns: int) -> Tensor:
    """The matrix with zeros below and to the right; itself, contiguous and aligned, where nothing is missing."""
    below, right = rows - matrix.shape[0], columns - matrix.shape[1]
    if not below and not right:
        return align(matrix)
    # Types of 8 bits that are floating point are not padded by torch on every device.
    bits = matrix.view(dtype=_BITS) if matrix.element_size() == 1 else matrix
    return functional.pad(bits, (0, right, 0, below)).view(matrix.dtype)
