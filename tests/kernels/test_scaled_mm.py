"""Whether torch multiplies float8 by reference code is told by two times, whatever else the machine does."""

import pytest

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
