"""Small runs of a kernel that show whether it is right, whatever its source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.cuda.manifest import read_manifest
from tests.emulator.int8 import make_product, multiply
from tests.emulator.launch import SCHEDULES, find_build, run

Trial = Callable[[Path, str], bool]
SHAPES = ((70, 72, 640), (7, 61, 272))
PARTS = 3


def try_gemm(path: Path, schedule: str) -> bool:
    """Whether sums are exact and scaled right, in one part along K and in some."""
    manifest = read_manifest(path)
    build = find_build(manifest, list(manifest.variants)[-1], "float32")
    for m, n, k in SHAPES:
        product = make_product(m, n, k)
        for split in (1, PARTS) if "split" in manifest.arguments else (1,):
            y = multiply(path, build, product, split=split, schedule=schedule).y
            exact = product.exact()
            # Written so that NaN is wrong.
            if not np.all(np.abs(y - exact) <= 2**-21 * (np.abs(exact) + np.abs(product.bias))):
                return False
    return True


def try_quantizer(path: Path, schedule: str) -> bool:
    """Whether codes and scales are those of the reference, for rows of several lengths."""
    for m, k in ((3, 72), (2, 45), (1, 5000)):
        x = torch.randn(m, k, generator=torch.Generator().manual_seed(k))
        # The largest of a row is in its last element: the last vector, and the last warp.
        x[:, -1] = 9.0
        codes = np.full((m, -(-k // 16) * 16), 1, np.int8)
        scale = np.zeros(m, np.float32)
        arguments = {"x": x.numpy(), "y": codes, "y_scale": scale, "m": m, "k": k}
        run(path, "", "float32", arguments | {"n": codes.shape[1]}, schedule=schedule)
        wanted, wanted_scale = quantize_tokens(x, "int8")
        if not np.array_equal(codes[:, :k], wanted.numpy()) or codes[:, k:].any():
            return False
        if not np.array_equal(scale[:, None], wanted_scale.numpy()):
            return False
    return True


def try_copy(path: Path, schedule: str) -> bool:
    """Whether everything is copied."""
    x = np.arange(4 * 1500, dtype=np.uint32).reshape(-1, 4)
    y = np.zeros_like(x)
    run(path, "", None, {"x": x, "y": y, "n": len(x)}, schedule=schedule)
    return np.array_equal(x, y)


TRIALS: dict[str, Trial] = {
    "copy": try_copy,
    "gemm_s8_dp4a": try_gemm,
    "gemm_s8_mma": try_gemm,
    "gemm_s8_wgmma": try_gemm,
    "quantize_tokens": try_quantizer,
}


def find_fault(kernel: str, path: Path) -> str:
    """What is wrong with a source of a kernel, under any schedule; "" if nothing is."""
    for schedule in SCHEDULES:
        try:
            if not TRIALS[kernel](path, schedule):
                return f"wrong result, {schedule}"
        except RuntimeError as error:
            return str(error)
    return ""
