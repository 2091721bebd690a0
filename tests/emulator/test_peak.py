"""The probes of peak rates give the known answer, so that a card that computes something else is found out."""

import numpy as np
import pytest

from qprobe.kernels.cuda.builds import builds
from qprobe.kernels.cuda.known_answers import growth_of, is_floating
from qprobe.kernels.cuda.manifest import find_kernels, read_manifest
from tests.emulator.launch import run

PEAKS = [
    (path, read_manifest(path), build)
    for path in find_kernels().values()
    if read_manifest(path).role == "peak"
    for build in builds(read_manifest(path))
]
GROWTH_OF_FLOATS = {
    "peak_hmma": 1.0,
    "peak_fp8": -3.0,
    "peak_wgmma_16": 4 * 1.0,
    "peak_wgmma_fp8": 4 * -3.0,
}
"""What each accumulator grows by at each iteration."""


def peak_word(i, is_weight):
    """The same as qp_peak_word."""
    bits = ((i + 1) * (0x9E3779B9 if is_weight else 0x85EBCA6B)) & 0xFFFFFFFF
    bits ^= bits >> 15
    return np.uint32(bits * 0xC2B2AE35 & 0xFFFFFFFF)


def integers(word, bits):
    """The signed integers of a word, from the lowest bits."""
    codes = [int(word) >> at & (2**bits - 1) for at in range(0, 32, bits)]
    return np.array([code - 2**bits if code >= 2 ** (bits - 1) else code for code in codes])


def growth(manifest):
    """By how much all accumulators of a thread together grow at each iteration."""
    sums = 32 if "wgmma" not in manifest.entry else 128
    if manifest.entry in GROWTH_OF_FLOATS:
        return sums * GROWTH_OF_FLOATS[manifest.entry]
    bits = 4 if manifest.entry == "peak_imma_s4" else 8
    if manifest.entry == "peak_dp4a":
        x = integers(peak_word(0, False), bits)
        return sum(x @ integers(peak_word(i, True), bits) for i in range(manifest.tile.n))
    words = range(manifest.tile.k * bits // 32)
    return sums * sum(
        integers(peak_word(i, False), bits) @ integers(peak_word(i, True), bits) for i in words
    )


@pytest.mark.parametrize(
    ("path", "manifest", "build"), PEAKS, ids=[f"{m.entry}-{b.name}" for _, m, b in PEAKS]
)
def test_every_thread_has_the_known_answer(path, manifest, build):
    grows = growth(manifest)
    assert grows != 0
    assert growth_of(manifest) == grows
    assert is_floating(manifest) == (manifest.entry in GROWTH_OF_FLOATS)
    for capability in build.architectures:
        for iterations in (0, 1, 6):
            y = np.zeros(
                2 * build.threads,
                np.float32 if manifest.entry in GROWTH_OF_FLOATS else np.int32,
            )
            run(
                path,
                build.variant,
                build.activation,
                {"y": y, "iterations": iterations},
                (2, 1, 1),
                capability=capability,
            )
            assert np.all(y == grows * iterations), capability
        if "wgmma" in manifest.entry:
            assert capability == "9.0a"


@pytest.mark.parametrize("path", [path for path, _, _ in PEAKS], ids=lambda path: path.stem)
def test_the_tile_says_what_a_block_computes(path):
    """By the known answer: dp4a adds k products a sum, the others m·n results of k products each."""
    manifest = read_manifest(path)
    tile, threads = manifest.tile, manifest.threads
    results = tile.m * tile.n
    sums_a_thread = 128 if "wgmma" in manifest.entry else 16 if "dp4a" in manifest.entry else 32
    assert results == threads * sums_a_thread
