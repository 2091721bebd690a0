"""Products of int8 codes, as every kernel of them takes its arguments, and what the answer is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qprobe.kernels.cuda._heuristics import count_tiles
from qprobe.kernels.cuda.builds import Build, builds
from qprobe.kernels.cuda.manifest import find_kernels, read_manifest
from tests.emulator.floats import from_bits, to_bits
from tests.emulator.launch import run

CHUNK = 16
"""K of the codes is padded to a multiple of it."""


@dataclass(frozen=True)
class Product:
    """Operands of y = x · Wᵀ · scales + bias."""

    x: np.ndarray
    w: np.ndarray
    x_scale: np.ndarray
    w_scale: np.ndarray
    bias: np.ndarray | None

    def exact(self) -> np.ndarray:
        """The answer in float64."""
        sums = self.x.astype(np.int64) @ self.w.astype(np.int64).T
        y = sums * self.x_scale.astype(np.float64)[:, None] * self.w_scale.astype(np.float64)
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True)
class Answer:
    """What a kernel computed."""

    y: np.ndarray
    """In float64."""
    counters: np.ndarray | None
    """As the launch left them; None where K was not split."""
    bank_conflicts: int


def make_product(m: int, n: int, k: int, *, seed: int = 0, plain: bool = False) -> Product:
    """Random codes of −127 … 127 with rows of the largest and of zeros; `plain`: scales of 1, no bias."""
    generator = np.random.default_rng((m, n, k, seed))
    x, w = (generator.integers(-127, 128, (rows, k), dtype=np.int8) for rows in (m, n))
    x[-1], w[0] = 127, -127
    if m > 2:
        x[1] = 0
    if plain:
        return Product(x, w, np.ones(m, np.float32), np.ones(n, np.float32), None)
    x_scale, w_scale = (generator.random(size, np.float32) * 0.01 + 1e-3 for size in (m, n))
    bias = generator.standard_normal(n)
    return Product(x, w, x_scale, w_scale, bias)


def gemm_builds() -> list[tuple[Path, Build]]:
    """Every build of every kernel that multiplies int8 codes."""
    found = []
    for path in find_kernels().values():
        manifest = read_manifest(path)
        if manifest.role == "gemm" and manifest.input == "int8":
            found += [(path, build) for build in builds(manifest)]
    return found


def multiply(
    path: Path, build: Build, product: Product, *, split: int = 1, **how: object
) -> Answer:
    """What the kernel computes."""
    m, n = len(product.x), len(product.w)
    x, w = (_pad(codes) for codes in (product.x, product.w))
    y = to_bits(np.full((m, n), np.nan), build.activation)
    manifest = read_manifest(path)
    bias = None if product.bias is None else to_bits(product.bias, build.activation)
    arguments = {
        "x": x,
        "x_scale": product.x_scale,
        "packed": w,
        "scales": product.w_scale,
        "bias": bias,
        "y": y,
        "m": m,
        "n": n,
        "k": x.shape[1],
    }
    counters = None
    if "split" in manifest.arguments:
        tiles = count_tiles(build.tile, m, n)
        size = tiles * split * build.tile.m * build.tile.n if split > 1 else 0
        scratch = np.full(size, 0x7BADBAD, np.int32) if size else None
        counters = np.zeros(tiles, np.uint32) if size else None
        arguments |= {"scratch": scratch, "counters": counters, "split": split}
    conflicts = run(path, build.variant, build.activation, arguments, **how)
    return Answer(from_bits(y, build.activation), counters, conflicts)


def _pad(codes: np.ndarray) -> np.ndarray:
    return np.pad(codes, ((0, 0), (0, -codes.shape[1] % CHUNK)))
