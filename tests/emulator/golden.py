"""Makes the golden vectors of the primitives: `python -m tests.emulator.golden`.

To be run after a primitive was added. A vector that changes otherwise means that the emulator's model changed, which only a
card can justify.
"""

from __future__ import annotations

import zlib

import numpy as np

from qprobe.kernels.cuda.builds import builds
from qprobe.kernels.cuda.manifest import read_manifest
from tests.emulator.floats import to_bits
from tests.emulator.launch import run
from tests.gpu.primitives import (
    GOLDEN,
    MATRIX_BYTES,
    MATRIX_ROWS,
    OF_MATRICES,
    SOURCES,
    as_vector,
    read_golden,
)

BUILDS = {
    build.variant: (source, build) for source in SOURCES for build in builds(read_manifest(source))
}
"""Name of the primitive → where it is."""
WORDS_OUT = {
    "arithmetic": 8,
    "conversions": 7,
    "shuffles": 5,
    "copies": 5,
    "memory": 20,
    "counting": 8,
    "bfloat162": 4,
    "ldmatrix": 13,
    "boxes": 80,
    "bulk": 80,
    "pair": 160,
    "bulk_pair": 160,
    "transposes": 5,
    "wgmma_f16_64x64x16": 32,
    "wgmma_bf16_64x64x16": 32,
    "wgmma_f16_64x128x16": 64,
    "wgmma_bf16_64x128x16": 64,
    "wgmma_f16_64x256x16_of_registers": 128,
    "wgmma_bf16_64x256x16_of_registers": 128,
    "mma_s8_8x8x16": 2,
    "mma_s4_8x8x32": 2,
    "wgmma_s8_64x128x32": 64,
    "wgmma_s8_64x256x32": 128,
    "wgmma_f16_64x256x16": 128,
    "wgmma_bf16_64x256x16": 128,
    "wgmma_e4m3_64x256x32": 128,
}
"""Words of y of each thread; 4 where it is not said."""
E4M3 = np.array([0x00, 0x30, 0x38, 0x3C, 0x40, 0x44, 0x48], np.uint8)
"""0, 0.5, 1, 1.5, 2, 3 and 4."""


def make_operands(name: str, generator: np.random.Generator) -> np.ndarray:
    """Words of x, random but for what `tests.gpu.primitives` says of floating-point numbers."""
    if name.startswith("wgmma"):
        rows, kind = 64 + int(name.split("x")[1]), name.split("_")[1]
        if kind != "s8":
            return _operands(kind, generator, rows * 8)
        return generator.integers(-3, 4, (rows, 32), dtype=np.int8).view(np.uint32).reshape(-1)
    if name.startswith("mma"):
        kind = name.split("_")[1]
        operands = _operands(kind, generator).reshape(32, 6)
        if kind.startswith("s"):
            sums = generator.integers(-1000, 1000, (32, 4)).astype(np.int32).view(np.uint32)
        else:
            sums = (generator.integers(-64, 64, (32, 4)) / 4).astype(np.float32).view(np.uint32)
        if name in ("mma_s8_8x8x16", "mma_s4_8x8x32"):
            operands, sums = operands[:, :2], sums[:, :2]
        return np.concatenate([operands, sums], axis=1).reshape(-1)
    if name in OF_MATRICES:
        return generator.integers(0, 2**32, MATRIX_ROWS * MATRIX_BYTES // 4, dtype=np.uint32)
    words = generator.integers(0, 2**32, (32, 8), dtype=np.uint32)
    if name == "arithmetic":
        words[:, 3:6] = _pairs("float16", generator, (32, 3))
    if name == "bfloat162":
        words[:, :3] = _pairs("bfloat16", generator, (32, 3))
    if name == "conversions":
        # From below the smallest of float16 to above its largest, with ties, and both infinities.
        reals = generator.standard_normal((32, 2)) * 2.0 ** generator.integers(-28, 20, (32, 2))
        reals[:6, 0] = 65519.0, 65520.0, np.inf, -np.inf, 1 + 2**-11, 1 + 3 * 2**-11
        reals[:6, 1] = 0.5, 1.5, -2.5, 3e9, -3e9, 2.0**-25
        words[:, :2] = reals.astype(np.float32).view(np.uint32)
        words[:, 2] &= 0x7BFF | 0x8000
    return words.reshape(-1)


def _operands(kind: str, generator: np.random.Generator, words: int = 32 * 6) -> np.ndarray:
    """Words of a and b: of 32 lanes 6 each, unless said otherwise."""
    if kind in ("s8", "s4"):
        return generator.integers(0, 2**32, words, dtype=np.uint32)
    if kind == "e4m3":
        codes = generator.choice(E4M3, words * 4)
        return (codes | generator.choice(np.array([0, 0x80], np.uint8), codes.size)).view(np.uint32)
    halves = generator.integers(-32, 33, words * 2) / 8
    activation = {"f16": "float16", "bf16": "bfloat16"}[kind]
    return to_bits(halves, activation).view(np.uint32)


def _pairs(activation: str, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Pairs of 16-bit numbers of very different sizes, subnormal ones among them."""
    size = (shape[0], shape[1] * 2)
    reals = generator.standard_normal(size) * 2.0 ** generator.integers(-20, 7, size)
    return to_bits(reals, activation).view(np.uint32)


def answer(name: str, x: np.ndarray, capability: str = "") -> np.ndarray:
    """What the emulator says."""
    source, build = BUILDS[name]
    y = np.zeros(build.threads * WORDS_OUT.get(name, 4), np.uint32)
    arguments = {"x": x, "y": y, **as_vector(name, x, y).counts}
    run(source, name, None, arguments, (build.cluster, 1, 1), capability=capability)
    return y


def main() -> None:
    """Add what is new to the file; what is there stays, and what is no more goes."""
    arrays = {}
    for name, vector in (read_golden() if GOLDEN.exists() else {}).items():
        if name in BUILDS:
            arrays |= {f"{name}.x": vector.x, f"{name}.y": vector.y}
    for name in BUILDS:
        if f"{name}.x" not in arrays:
            x = make_operands(name, np.random.default_rng(zlib.crc32(name.encode())))
            arrays |= {f"{name}.x": x, f"{name}.y": answer(name, x)}
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    main()
