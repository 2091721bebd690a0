"""Our kernels under compute-sanitizer: no access out of bounds, no race, no barrier in a divergent branch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.products import make_product
from tests.gpu.sanitized import DTYPE, can_split, list_cases

TOOL = shutil.which("compute-sanitizer") or shutil.which(
    "compute-sanitizer", path="/usr/local/cuda/bin"
)
ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 100


@pytest.mark.skipif(TOOL is None, reason="compute-sanitizer is not installed")
@pytest.mark.parametrize(
    "check",
    [
        "memcheck",
        pytest.param("racecheck", marks=pytest.mark.slow),
        pytest.param("synccheck", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_found(device, check):
    command = [TOOL, "--tool", check, "--error-exitcode", "9", "--print-limit", "20",
               sys.executable, "-m", "tests.gpu.sanitized"]  # fmt: skip
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    if "Device not supported" in done.stdout + done.stderr:
        pytest.skip("compute-sanitizer does not support this device")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    ran = [line.split() for line in done.stdout.splitlines() if line.startswith("cuda.")]
    runnable = {
        (kernel.id, scheme)
        for kernel, scheme, shape in list_cases()
        if not make_product(kernel, scheme, DTYPE, *shape, device).objection
    }
    assert runnable
    assert {(kernel, scheme) for kernel, scheme, *_ in ran} == runnable
    in_parts = {kernel for kernel, *_, parts in ran if int(parts) > 1}
    assert in_parts == {kernel.id for kernel, *_ in list_cases() if can_split(kernel)} & {
        kernel for kernel, _ in runnable
    }
