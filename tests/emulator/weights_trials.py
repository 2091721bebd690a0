"""Small runs of a kernel for packed weights that show whether it is right, whatever its source."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.cuda.manifest import read_manifest
from qprobe.quantize.scheme import dequantize_weight
from tests.emulator.floats import DTYPES, EPSILON, round_to
from tests.emulator.launch import SCHEDULES, find_build
from tests.emulator.weights import Case, dequantize, exact_weight, make_weight, make_x, multiply

PARTS = 3
LONG = 2048


def make_fitting_x(m: int, k: int, activation: str) -> np.ndarray:
    """Random activations of which the sums of a long K are not infinite in float16 either."""
    x = make_x(m, k, activation)
    return round_to(x / 16, activation) if k > LONG else x


def around_the_ring(case: Case) -> int:
    """A K of more stages than a kernel keeps in shared memory, and of a group more."""
    stages = case.build.defines.get("QP_STAGES", 1)
    return ((stages + 1) * case.build.tile.k // case.group + 1) * case.group


def find_fault(path: Path, variant: str, activation: str) -> str:
    """What is wrong with a build of a source, under any schedule; "" if nothing is."""
    manifest = read_manifest(path)
    build = find_build(manifest, variant, activation)
    case = Case(path, build, build.schemes[-1])
    is_right = _dequantizes if manifest.role == "dequantize" else _multiplies
    for schedule in SCHEDULES:
        try:
            if not is_right(case, schedule):
                return f"wrong result, {schedule}"
        except (RuntimeError, AssertionError) as error:
            return str(error)
    return ""


def _multiplies(case: Case, schedule: str) -> bool:
    tile, group, cluster = case.build.tile, case.group, case.build.cluster
    parts = PARTS if "split" in read_manifest(case.path).arguments else 1
    # The last block of a cluster has no features there, in each of two rows of tiles.
    rows, features = 3 + (cluster - 1) * tile.m, cluster * tile.n + 33
    for m, n, k, split in (
        (tile.m + 1, tile.n + 5, case.beyond_stage(5), 1),
        (2, 9, around_the_ring(case), 1),
        (1, 65, 9 * group, 1),
        (rows, features, max(7 * group, case.beyond_stage(1)), parts),
    ):
        x, weight = make_fitting_x(m, k, case.build.activation), exact_weight(case.scheme, n, k)
        bias = round_to(np.arange(n) - n / 2, case.build.activation)
        y = multiply(case, x, n, bias=bias, split=split, schedule=schedule)
        size = np.abs(x) @ np.abs(weight).T + np.abs(bias) + np.abs(x).sum(1, keepdims=True) / 64
        # Written so that NaN is wrong.
        wrong = ~(np.abs(y - (x @ weight.T + bias)) <= EPSILON[case.build.activation] * size)
        if wrong.any():
            return False
    return True


def _dequantizes(case: Case, schedule: str) -> bool:
    dtype = DTYPES[case.build.activation]
    for n, k in ((40, case.beyond_stage(3)), (3, case.group)):
        wanted = dequantize_weight(make_weight(case.scheme, n, k), SCHEMES[case.scheme], dtype)
        if not torch.equal(dequantize(case, n, k, split=2, schedule=schedule), wanted):
            return False
    return True


if __name__ == "__main__":
    print(find_fault(Path(sys.argv[1]), *sys.argv[2:]) or "nothing is wrong")
