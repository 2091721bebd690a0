"""What tests of traps share: scripts that may end their process, and what a kernel says of a layer."""

import os
import subprocess
import sys

from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.registry import get_kernel

SECONDS = """
import time, torch
def seconds(call):
    found = []
    for _ in range(7):
        start = time.thread_time()
        call()
        found.append(time.thread_time() - start)
    return min(found)
"""


def in_a_process(script, **environment):
    """Exit status and output of a script that may crash."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def objection(kernel, scheme, n, k, dtype, code=0):
    return get_kernel(kernel).objection(LayerSpec(scheme, n, k, dtype, code, "cpu"))
