"""Products with packed weights, and their dequantization, as every kernel of them takes its arguments."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda._heuristics import count_tiles
from qprobe.kernels.cuda.builds import Build, builds
from qprobe.kernels.cuda.manifest import find_kernels, read_manifest
from qprobe.kernels.cuda.packing import mma_w4, mma_w8
from qprobe.quantize.scheme import dequantize_weight, quantize_weight
from tests.emulator.floats import DTYPES, from_bits, round_to, to_bits
from tests.emulator.launch import run

PACKINGS = {"mma_w4": mma_w4, "mma_w8": mma_w8}
ARRAYS = ("packed", "scales", "zeros")
GARBAGE = 0x7FC0BAD


@dataclass(frozen=True)
class Case:
    """A build of a kernel, and a scheme that it is for."""

    path: Path
    build: Build
    scheme: str

    def __str__(self) -> str:
        return f"{self.path.stem}-{self.build.name.replace(', ', '-')}-{self.scheme}"

    @property
    def multiple(self) -> int:
        """K in multiples of it, in 16 bits."""
        return max(1, read_manifest(self.path).row_bytes // 2)

    @property
    def group(self) -> int:
        """Weights along K that may not be cut; for 8 bits an odd number, since any K will do."""
        block = SCHEMES[self.scheme].block
        return block if block > 1 else 40 if self.multiple > 1 else 37

    def beyond_stage(self, groups: int) -> int:
        """A K of so many groups more than there are in one stage."""
        return (self.build.tile.k // self.group + groups) * self.group


def find_cases(*roles: str) -> list[Case]:
    """Every build of every kernel of these roles that reads our packings, with each of its schemes."""
    found = []
    for path in find_kernels().values():
        manifest = read_manifest(path)
        if manifest.role in roles and manifest.packing in PACKINGS:
            for build in builds(manifest):
                found += [Case(path, build, scheme) for scheme in build.schemes]
    return found


def make_x(m: int, k: int, activation: str, seed: int = 0) -> np.ndarray:
    """Random activations in float64, as the type holds them, with a row of zeros and columns of outliers."""
    generator = np.random.default_rng((m, k, seed))
    x = generator.standard_normal((m, k)) * (1 + 30 * (generator.random(k) < 0.1))
    if m > 2:
        x[1] = 0
    return round_to(x, activation)


@functools.cache
def make_weight(scheme: str, n: int, k: int) -> dict[str, Tensor]:
    """The canonical tensors of a random weight; the first row is of zeros, the last one large."""
    weight = torch.randn(n, k, generator=torch.Generator().manual_seed(n + 1000 * k))
    weight[-1] *= 50
    if n > 1:
        weight[0] = 0
    return quantize_weight(weight, SCHEMES[scheme], next(iter(SCHEMES[scheme].algorithms)))


def exact_weight(scheme: str, n: int, k: int) -> np.ndarray:
    """What the canonical tensors stand for, in float64."""
    return dequantize_weight(make_weight(scheme, n, k), SCHEMES[scheme], torch.float64).numpy()


def step_sizes(scheme: str, n: int, k: int) -> np.ndarray:
    """What one more of a code is worth, (N, K) float64."""
    scale = make_weight(scheme, n, k)["weight_scale"].double()
    return scale.repeat_interleave(k // scale.shape[1], dim=1).numpy()


def pack(case: Case, n: int, k: int) -> dict[str, np.ndarray | None]:
    """The weight's arguments: words, scales and zero points."""
    manifest = read_manifest(case.path)
    spec = LayerSpec(case.scheme, n, k, torch.float16, 127, "cuda")
    packed = PACKINGS[str(manifest.packing)].pack(make_weight(case.scheme, n, k), spec)
    arrays = dict(zip(ARRAYS, map(_bits, packed), strict=False))
    return {name: arrays.get(name) for name in ARRAYS if name in manifest.arguments}


def multiply(
    case: Case,
    x: np.ndarray,
    n: int,
    *,
    bias: np.ndarray | None = None,
    split: int = 1,
    x_address: int | None = None,
    **how: object,
) -> np.ndarray:
    """y in float64. `x_address` says where the bits of x are, where they shall not be copied."""
    m, k = x.shape
    activation = case.build.activation
    y = to_bits(np.full((m, n), np.nan), activation)
    tile = case.build.tile
    tiles = count_tiles(tile, m, n)
    size = tiles * split * tile.m * tile.n if split > 1 else 0
    scratch = np.full(size, GARBAGE, np.int32) if size else None
    counters = np.zeros(tiles, np.uint32) if size else None
    arguments = pack(case, n, k) | {
        "x": x_address or to_bits(x, activation),
        "bias": None if bias is None else to_bits(bias, activation),
        "y": y,
        "scratch": scratch,
        "counters": counters,
        "m": m,
        "n": n,
        "k": k,
        "split": split,
    }
    manifest = read_manifest(case.path)
    if "split" not in manifest.arguments:
        for name in ("scratch", "counters", "split"):
            del arguments[name]
    run(case.path, case.build.variant, activation, arguments, **how)
    if counters is not None and counters.any():
        raise AssertionError("the next launch needs the counters at 0")
    return from_bits(y, activation)


def dequantize(case: Case, n: int, k: int, *, split: int = 1, **how: object) -> Tensor:
    """The weight (N, K) in the build's type."""
    activation = case.build.activation
    y = to_bits(np.full((n, k), np.nan), activation)
    arguments = pack(case, n, k) | {"y": y, "n": n, "k": k, "split": split}
    run(case.path, case.build.variant, activation, arguments, **how)
    return torch.from_numpy(y).view(DTYPES[activation])


def _bits(tensor: Tensor) -> np.ndarray:
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
