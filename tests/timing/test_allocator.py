"""Fresh memory costs the same at every call."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from qprobe.timing.allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(6 * 2**20 + i) for i in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
# Where small blocks happen to lie between the large ones, one more has to be asked for once.
print(min(faults() for _ in range(5)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_was_freed_is_not_faulted_in_again():
    kept, default = (
        int(
            subprocess.run(
                [sys.executable, "-c", FAULTS.format(keep=keep)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for keep in (True, False)
    )
    assert kept < 100
    assert default > 1000, "without it, 96 MiB are given back and asked for again"
