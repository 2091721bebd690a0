"""What the probes of peak rates must answer: a card whose unit computes something else is not believed its speed."""

from __future__ import annotations

from qprobe.kernels.cuda.manifest import Manifest

GROWTH_OF_FLOATS = {
    "peak_hmma": 1.0,
    "peak_fp8": -3.0,
    "peak_wgmma_16": 4.0,
    "peak_wgmma_fp8": -12.0,
}
"""Entry of a probe → what each of its accumulators grows by at each iteration; the others add integers."""
BITS = {"peak_imma_s4": 4}
"""Entry of a probe → bits of its integers, where they are not 8."""


def is_floating(manifest: Manifest) -> bool:
    """Whether a probe writes float32 rather than int32."""
    return manifest.entry in GROWTH_OF_FLOATS


def growth_of(manifest: Manifest) -> float:
    """What the accumulators of each thread together grow by at each iteration: see kernels/peak.cuh."""
    tile = manifest.tile
    sums = tile.m * tile.n // manifest.threads
    if is_floating(manifest):
        return sums * GROWTH_OF_FLOATS[manifest.entry]
    bits = BITS.get(manifest.entry, 8)
    if tile.k * bits == 32:  # One word: what changes from sum to sum is the weight.
        return sum(_dot(0, i, bits) for i in range(sums))
    return sums * sum(_dot(i, i, bits) for i in range(tile.k * bits // 32))


def _dot(x: int, weight: int, bits: int) -> int:
    pairs = zip(
        _integers(_word(x, 0x85EBCA6B), bits),
        _integers(_word(weight, 0x9E3779B9), bits),
        strict=True,
    )
    return sum(a * b for a, b in pairs)


def _word(index: int, factor: int) -> int:
    """As qp_peak_word."""
    word = (index + 1) * factor & 0xFFFFFFFF
    word ^= word >> 15
    return word * 0xC2B2AE35 & 0xFFFFFFFF


def _integers(word: int, bits: int) -> list[int]:
    """The signed integers of a word, from the lowest bits."""
    half = 1 << bits - 1
    return [((word >> at & 2 * half - 1) ^ half) - half for at in range(0, 32, bits)]
