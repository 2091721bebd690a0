"""A GPU's clock, with events of planted times."""

import struct

import pytest

from qprobe.timing.event_clock import EventClock
from qprobe.timing.graphs import HOST_CALLS, host_seconds
from qprobe.timing.interleave import Task, time_interleaved


class Gpu:
    """Does what it is given in no time of the host's, and in planted time of its own."""

    def __init__(self):
        self.now_s = 0.0
        self.waits = 0

    def work(self, seconds):
        self.now_s += seconds

    def make_event(self):
        gpu = self

        class Event:
            def record(self):
                self.at = gpu.now_s

            def synchronize(self):
                gpu.waits += 1

            def elapsed_time(self, end):
                """Milliseconds in 32 bits, as CUDA gives them."""
                return struct.unpack("f", struct.pack("f", (end.at - self.at) * 1e3))[0]

        return Event()


def test_differences_are_the_seconds_of_the_work_between():
    gpu = Gpu()
    clock = EventClock(gpu.make_event)
    start = clock()
    gpu.work(3e-3)
    assert clock() - start == pytest.approx(3e-3)
    assert gpu.waits == 3


def test_microseconds_are_still_told_apart_after_hours():
    gpu = Gpu()
    clock = EventClock(gpu.make_event)
    for _ in range(100):
        gpu.work(120.0)
        clock()
    start = clock()
    gpu.work(5e-6)
    assert clock() - start == pytest.approx(5e-6, rel=1e-3)


def test_tasks_are_timed_by_it():
    gpu = Gpu()
    clock = EventClock(gpu.make_event)
    tasks = {
        "graph of ten": Task(lambda _: gpu.work(1e-3), clock=lambda: clock() / 10, shortest_s=4e-4),
        "one": Task(lambda _: gpu.work(2e-4), clock=clock),
    }
    timed = time_interleaved(tasks, budget_s=0.01)
    assert timed["graph of ten"].median == pytest.approx(1e-4, rel=1e-4)
    assert timed["one"].median == pytest.approx(2e-4, rel=1e-4)


def test_the_host_is_timed_while_the_gpu_is_behind():
    now, waits, started = [0.0], [], []

    def call(name):
        started.append(name)
        now[0] += 7e-6

    seconds = host_seconds(
        [lambda: call("a"), lambda: call("b")], lambda: waits.append(len(started)), lambda: now[0]
    )
    assert seconds == pytest.approx(7e-6)
    assert started[:4] == ["a", "b", "a", "b"]
    assert waits == [HOST_CALLS * i for i in range(len(waits))]
