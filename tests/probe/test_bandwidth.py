"""What the bandwidth is measured on, and that it comes out."""

from __future__ import annotations

import time

import pytest

from qprobe.probe.bandwidth import measure_bandwidth, working_set_bytes

MIB = 2**20
GIB = 2**30


@pytest.mark.parametrize(
    ("cache", "available", "size"),
    [
        (None, None, 128 * MIB),
        (8 * MIB, 64 * GIB, 128 * MIB),
        (100 * MIB, 64 * GIB, 400 * MIB),
        (1152 * MIB, 64 * GIB, 2 * GIB),
        (32 * MIB, GIB, 128 * MIB),
        (32 * MIB, 0, 2 * MIB),
    ],
    ids=["unknown", "small cache", "large cache", "huge cache", "little memory", "no memory"],
)
def test_working_set_is_beyond_the_caches_and_within_the_memory(cache, available, size):
    assert working_set_bytes(cache, available) == size


@pytest.mark.parametrize(
    ("cache", "most", "size"),
    [
        (None, 128 * MIB, 128 * MIB),
        (32 * MIB, 128 * MIB, 128 * MIB),
        (50 * MIB, 128 * MIB, 128 * MIB),
        (64 * MIB, 128 * MIB, 128 * MIB),
        (65 * MIB, 128 * MIB, None),
        (1152 * MIB, 128 * MIB, None),
        (32 * MIB, GIB, 128 * MIB),
    ],
)
def test_less_memory_is_enough_only_where_the_caches_do_not_hold_it(cache, most, size):
    assert working_set_bytes(cache, 64 * GIB, most) == size


def test_what_the_caches_hold_is_not_measured():
    assert measure_bandwidth(100 * MIB, 2 * GIB, 128 * MIB) is None


def test_bandwidth_is_measured_quickly():
    start = time.thread_time()  # what other programs take of the core does not count
    copy, read = measure_bandwidth(8 * MIB, 2 * GIB)
    assert time.thread_time() - start < 2
    assert 1e8 < copy < 1e13
    assert 1e8 < read < 1e13
