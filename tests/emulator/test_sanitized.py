"""Every kernel once more, built with the address sanitizer: nothing is read or written that is not its own."""

import pytest

from qprobe.kernels.cuda.manifest import find_kernels, read_manifest
from tests.emulator.sanitized import builds_of, find_sanitizer, run_sanitized

# Those for packed weights have a test of their own.
KERNELS = [
    path for path in find_kernels().values() if read_manifest(path).packing in (None, "rows_s8")
]


@pytest.mark.skipif(find_sanitizer() is None, reason="this compiler came without libasan")
def test_nothing_is_touched_that_is_not_the_kernels_own():
    done = run_sanitized("-m", "tests.emulator.sanitized", *map(str, KERNELS))
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.endswith(": nothing is wrong")] == []
    assert len(lines) == sum(len(builds_of(path)) for path in KERNELS)
