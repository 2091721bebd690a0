"""What is said of a GPU that was disturbed while it was measured."""

import pytest

from qprobe.bench._conditions import judge
from qprobe.documents.machine import GpuState

CALM = {
    "sm_clock_hz": 1.98e9,
    "memory_clock_hz": 2.6e9,
    "temperature_c": 40,
    "power_w": 300.0,
    "throttled": (),
    "other_processes": 0,
}


def state(**changes):
    return GpuState(**CALM | changes)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {}, []),
        ({}, {"sm_clock_hz": 1.95e9}, []),
        ({}, {"sm_clock_hz": 1.41e9}, ["the SM clock fell from 1980 to 1410 MHz"]),
        ({"memory_clock_hz": 2.6e9}, {"memory_clock_hz": 1.6e9}, ["the memory clock fell"]),
        ({"throttled": ("software power cap",)}, {}, ["held down under load: software power cap"]),
        ({}, {"other_processes": 1}, ["1 other process had work"]),
        ({"other_processes": 3}, {}, ["3 other processes had work"]),
        (dict.fromkeys(CALM), dict.fromkeys(CALM), []),
    ],
)
def test_remarks(before, after, words):
    found = judge(state(**before), state(**after))
    assert len(found.remarks) == len(words)
    for remark, part in zip(found.remarks, words, strict=True):
        assert part in remark
