"""Operands and results of every primitive of prims.cuh: a card and the emulator must agree on each bit.

`golden/primitives.npz` holds for each build of the sources the operands `NAME.x` and the results `NAME.y`, as the emulator
computed them. Operands of floating-point products are such that all sums are exact: in whatever order and
precision a tensor core adds them up, there is one right answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SOURCES = tuple(
    Path(__file__).with_name(f"{name}.cu")
    for name in ("primitives", "primitives_wgmma", "primitives_boxes")
)
"""Between them, a build for each primitive."""
GOLDEN = Path(__file__).parent / "golden" / "primitives.npz"
MATRIX_ROWS, MATRIX_BYTES = 36, 208
"""Of the matrix that boxes are copied of."""


@dataclass(frozen=True)
class Vector:
    """What one build is asked, and what it must answer: uint32 words."""

    x: np.ndarray
    y: np.ndarray
    counts: dict[str, int]
    """`n` and `k`: words of x and of y that belong to each thread; of a matrix `m` and `k`: its rows and their bytes."""


def read_golden() -> dict[str, Vector]:
    """Name of the build → operands and results. Reads the disk."""
    with np.load(GOLDEN) as stored:
        names = sorted({key.rsplit(".", 1)[0] for key in stored})
        return {name: as_vector(name, stored[f"{name}.x"], stored[f"{name}.y"]) for name in names}


def as_vector(name: str, x: np.ndarray, y: np.ndarray) -> Vector:
    """The arrays with what the build is to know of them."""
    if name == "boxes":
        return Vector(x, y, {"m": MATRIX_ROWS, "k": MATRIX_BYTES})
    threads = 128 if name.startswith("wgmma") else 32
    # What wgmma reads is in shared memory, no thread's own.
    words_in = 0 if name.startswith("wgmma") else x.size // threads
    return Vector(x, y, {"n": words_in, "k": y.size // threads})
