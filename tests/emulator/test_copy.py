"""The copy probe copies everything, and nothing else."""

import numpy as np
import pytest

from qprobe.kernels.cuda.manifest import find_kernels
from tests.emulator.launch import SCHEDULES, run

COPY = find_kernels()["copy"]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n", [1, 255, 1023, 1024, 1025, 5000])
def test_everything_is_copied(n, schedule):
    x = np.random.default_rng(n).integers(0, 2**32, (n, 4), dtype=np.uint32)
    y = np.zeros_like(x)
    run(COPY, "", None, {"x": x, "y": y, "n": n}, schedule=schedule)
    assert np.array_equal(x, y)
