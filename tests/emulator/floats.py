"""Activation types in numpy, which has no bfloat16: as bits, and as float64."""

from __future__ import annotations

import numpy as np
import torch

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
EPSILON = {name: torch.finfo(dtype).eps for name, dtype in DTYPES.items()}


def to_bits(values: np.ndarray, activation: str) -> np.ndarray:
    """The values rounded to the type; 16-bit ones as the integers that hold their bits."""
    rounded = torch.from_numpy(np.asarray(values, np.float64)).to(DTYPES[activation])
    return rounded.numpy() if activation == "float32" else rounded.view(torch.int16).numpy()


def from_bits(bits: np.ndarray, activation: str) -> np.ndarray:
    """What the bits stand for, in float64."""
    return torch.from_numpy(bits).view(DTYPES[activation]).double().numpy()


def round_to(values: np.ndarray, activation: str) -> np.ndarray:
    """The values as the type holds them, in float64."""
    return from_bits(to_bits(values, activation), activation)
