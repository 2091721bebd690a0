"""Whether torch multiplies float8 by reference code is told by two times, whatever else the machine does."""

import os
import subprocess
import sys

import pytest
import torch

from qprobe.kernels.torch_cpu import scaled_mm


@pytest.fixture
def anew():
    scaled_mm._absent.cache_clear()
    yield
    scaled_mm._absent.cache_clear()


def test_threads_that_wait_for_a_core_make_no_difference(anew, monkeypatch):
    """Of ten calls nine take 5 ms more: with three calls, half of the answers were wrong on a busy machine."""
    alone = scaled_mm._absent("cpu")
    scaled_mm._absent.cache_clear()
    exact, asked = scaled_mm.time.thread_time, []

    def spin():
        asked.append(1)
        call = len(asked) // 2
        return exact() + 5e-3 * (call - call // 10)

    monkeypatch.setattr(scaled_mm.time, "thread_time", spin)
    assert bool(scaled_mm._absent("cpu")) == bool(alone)


def test_a_busy_machine_makes_no_difference(anew):
    """Programs that take every core: threads that wait for one another spin."""
    alone = scaled_mm._absent("cpu")
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        for _ in range(4):
            scaled_mm._absent.cache_clear()
            assert bool(scaled_mm._absent("cpu")) == bool(alone)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def test_the_threads_are_left_as_they_were(anew):
    threads = torch.get_num_threads()
    scaled_mm._absent("cpu")
    assert torch.get_num_threads() == threads
