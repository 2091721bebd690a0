"""Small runs of a kernel that show whether it is right, whatever its source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.cuda.builds import Build, builds
from qprobe.kernels.cuda.known_answers import is_floating
from qprobe.kernels.cuda.manifest import read_manifest
from tests.emulator.floats import DTYPES, EPSILON
from tests.emulator.int8 import make_product, multiply
from tests.emulator.launch import SCHEDULES, run

Trial = Callable[[Path, Build, str], bool]
SHAPES = ((70, 72, 640), (7, 61, 272), (70, 61, 272))
MANY_TILES = (300, 140, 528)
"""For blocks that take one tile after another: some take more than one."""
PARTS = 3


def try_gemm(path: Path, build: Build, schedule: str) -> bool:
    """Whether sums are exact and scaled right, in one part along K and in some."""
    manifest = read_manifest(path)
    has_parts = "split" in manifest.arguments
    for m, n, k in (*SHAPES, MANY_TILES) if "tile" in manifest.grid else SHAPES:
        product = make_product(m, n, k)
        exact = product.exact()
        size = np.abs(exact) + np.abs(product.bias)
        for split in (1, PARTS) if has_parts else (1,):
            y = multiply(path, build, product, split=split, schedule=schedule).y
            # Written so that NaN is wrong.
            if not np.all(np.abs(y - exact) <= (EPSILON[build.activation] + 2**-21) * size):
                return False
    return True


def try_quantizer(path: Path, build: Build, schedule: str) -> bool:
    """Whether codes and scales are those of the reference, for rows of several lengths."""
    for m, k in ((3, 72), (2, 45), (1, 5000)):
        x = torch.randn(m, k, generator=torch.Generator().manual_seed(k))
        # The largest of a row is in its last element: the last vector, and the last warp.
        x[:, -1] = 9.0
        x = x.to(DTYPES[build.activation])
        bits = x.numpy() if x.dtype == torch.float32 else x.view(torch.int16).numpy()
        codes = np.full((m, -(-k // 16) * 16), 1, np.int8)
        scale = np.zeros(m, np.float32)
        arguments = {"x": bits, "y": codes, "y_scale": scale, "m": m, "k": k}
        run(
            path,
            build.variant,
            build.activation,
            arguments | {"n": codes.shape[1]},
            schedule=schedule,
        )
        wanted, wanted_scale = quantize_tokens(x, "int8")
        if not np.array_equal(codes[:, :k], wanted.numpy()) or codes[:, k:].any():
            return False
        if not np.array_equal(scale[:, None], wanted_scale.numpy()):
            return False
    return True


def try_copy(path: Path, build: Build, schedule: str) -> bool:
    """Whether everything is copied."""
    x = np.arange(4 * 1500, dtype=np.uint32).reshape(-1, 4)
    y = np.zeros_like(x)
    run(path, build.variant, None, {"x": x, "y": y, "n": len(x)}, schedule=schedule)
    return np.array_equal(x, y)


def try_peak(path: Path, build: Build, schedule: str) -> bool:
    """Whether all threads have one answer, which grows by the same at each iteration."""
    answers = []
    for iterations in (1, 3):
        floats = is_floating(read_manifest(path))
        y = np.zeros(2 * build.threads, np.float32 if floats else np.int32)
        arguments = {"y": y, "iterations": iterations}
        run(path, build.variant, build.activation, arguments, (2, 1, 1), schedule=schedule)
        answers.append(y)
    return bool(np.all(answers[0] == answers[0][0]) and np.all(answers[1] == 3 * answers[0]))


def find_trial(path: Path) -> Trial:
    """What shows whether a kernel is right."""
    manifest = read_manifest(path)
    if manifest.role == "gemm" and manifest.input == "int8":
        return try_gemm
    return {"quantize": try_quantizer, "copy": try_copy, "peak": try_peak}[manifest.role]


def last_build(path: Path) -> Build:
    """The build that is tried first: of the last variant, which has the smallest tile, for the last type."""
    return builds(read_manifest(path))[-1]


def find_fault(path: Path, build: Build, schedules: tuple[str, ...] = SCHEDULES) -> str:
    """What is wrong with a build of a source, under any of the schedules; "" if nothing is."""
    is_right = find_trial(path)
    for schedule in schedules:
        try:
            if not is_right(path, build, schedule):
                return f"wrong result, {schedule}"
        except RuntimeError as error:
            return str(error)
    return ""
