"""Operands and results of every primitive of prims.cuh: a card and the emulator must agree on each bit.

`golden/primitives.npz` holds for each build of the sources the operands `NAME.x` and the results `NAME.y`, as the emulator
computed them. Operands of floating-point products are such that all sums are exact: in whatever order and
precision a tensor core adds them up, there is one right answer.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qprobe.documents import arch
from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.builds import builds
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.launch import Call
from qprobe.kernels.cuda.manifest import read_manifest
from qprobe.kernels.cuda.portfolio import Source, read_source
from qprobe.kernels.sources import find_sources

SOURCES = tuple(
    Path(__file__).with_name(f"{name}.cu")
    for name in ("primitives", "primitives_wgmma", "primitives_boxes", "primitives_pair")
)
"""Between them, a build for each primitive."""
GOLDEN = Path(__file__).parent / "golden" / "primitives.npz"
MATRIX_ROWS, MATRIX_BYTES = 36, 208
"""Of the matrix that boxes are copied of."""
OF_MATRICES = ("boxes", "bulk", "pair", "bulk_pair")
"""Builds whose x is that."""


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
    if name in OF_MATRICES:
        return Vector(x, y, {"m": MATRIX_ROWS, "k": MATRIX_BYTES})
    threads = 128 if name.startswith("wgmma") else 32
    # What wgmma reads is in shared memory, no thread's own.
    words_in = 0 if name.startswith("wgmma") else x.size // threads
    return Vector(x, y, {"n": words_in, "k": y.size // threads})


FEATURES = {
    "ldmatrix": "ldmatrix",
    "mma_s8_8x8x16": "imma_8816",
    "mma_s8_16x8x32": "imma_8816",  # composed of it before 8.0
    "mma_s4_8x8x32": "imma_8832_s4",
    "mma_s4_16x8x64": "imma_8832_s4",
    "mma_f16_16x8x8": "hmma_1688",
    "mma_f16_16x8x16": "hmma_1688",
    "mma_bf16_16x8x16": "hmma_16816_bf16",
    "mma_e4m3_16x8x32": "qmma_16832_fp8",
    "boxes": "cp_async_bulk",
    "bulk": "cp_async_bulk",
    "pair": "bulk_multicast",
    "bulk_pair": "bulk_multicast",
    "transposes": "ldmatrix",  # as old as it
    "wgmma_f16_64x64x16": "wgmma",
    "wgmma_bf16_64x64x16": "wgmma",
    "wgmma_f16_64x128x16": "wgmma",
    "wgmma_bf16_64x128x16": "wgmma",
    "wgmma_f16_64x256x16_of_registers": "wgmma",
    "wgmma_bf16_64x256x16_of_registers": "wgmma",
    "wgmma_s8_64x128x32": "wgmma",
    "wgmma_s8_64x256x32": "wgmma",
    "wgmma_f16_64x256x16": "wgmma",
    "wgmma_bf16_64x256x16": "wgmma",
    "wgmma_e4m3_64x256x32": "wgmma",
}
"""Build → what the card must have, native or emulated; the others run on every card."""


def copy_sources(folder: Path) -> dict[str, Source]:
    """Name of the primitive → the kernel that it is a build of, in the folder beside the headers that it includes."""
    for header in find_sources().glob("*.cuh"):
        shutil.copy(header, folder)
    found = {}
    for path in SOURCES:
        for build in builds(read_manifest(path)):
            # A file for each: one that crashes is no other's fault.
            own = shutil.copy(path, folder / f"{path.stem}_{build.name}.cu")
            found[build.name] = read_source(Path(own))
    return found


def lacks(source: Source, name: str, card: Card) -> str:
    """Why the card cannot be asked; "" if it can."""
    targets = source.builds[name].architectures
    oldest = min(tuple(map(int, arch.plain(target).split("."))) for target in targets)
    if tuple(map(int, card.capability.split("."))) < oldest:
        return f"{name} is for {'.'.join(map(str, oldest))} and later"
    feature = FEATURES.get(name)
    if feature and arch.support(feature, card.capability) == "absent":
        return f"{card.capability} has no {feature}"
    return ""


def ask(source: Source, name: str, vector: Vector, index: int) -> np.ndarray:
    """What the card answers; raises UnavailableError where it does not build."""
    device = driver.current().find_device(index)
    x = torch.from_numpy(vector.x.view(np.int32).copy()).to(device)
    y = torch.full((vector.y.size,), -1, dtype=torch.int32, device=device)
    Call(source, name, index, vector.counts, ("x", "y")).run(x, y)
    driver.current().synchronize(index)
    return y.cpu().numpy().view(np.uint32)
