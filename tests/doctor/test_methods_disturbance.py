"""What else ran while methods were timed is told, where the system tells."""

from __future__ import annotations

import os

import pytest

from qprobe.doctor.execution.disturbance import Contention, Load, disturbance, read_load
from qprobe.doctor.execution.memory import group_bytes, resident_bytes


def load(at, busy, own=0.0, stolen=0.0, **by_name) -> Load:
    return Load(
        at, busy, stolen, own, {n: (name, s) for n, (name, s) in enumerate(by_name.items())}
    )


def test_others_are_what_is_busy_and_not_ours():
    found = disturbance(load(0, 0), load(10, 15, own=5, python=1.0, chrome=9.0), cores=2)
    assert found == "other programs used 50% of the processors, chrome most"


def test_ours_alone_disturb_nobody():
    assert disturbance(load(0, 100), load(10, 119, own=19), cores=2) == ""


def test_what_the_hypervisor_takes_is_told():
    found = disturbance(load(0, 0), load(10, 1, own=1, stolen=5), cores=2)
    assert found == "other virtual machines took 25% of them"


def test_without_proc_the_load_average_is_what_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (7.25, 1.0, 1.0))
    before, after = read_load(tmp_path), read_load(tmp_path)
    assert disturbance(before, after, 2) == "the load average was 7.2 on 2 cores"
    assert disturbance(before, after, 8) == ""


def test_the_system_is_read_here():
    found = read_load()
    assert found.busy_s
    assert found.by_name[os.getpid()][1] >= 0


def test_memory_is_read_of_a_process_and_of_its_group(tmp_path):
    own = resident_bytes(os.getpid())
    assert own > 2**20
    assert group_bytes(os.getpgrp()) >= own / 2
    assert resident_bytes(os.getpid(), tmp_path) == 0
    assert group_bytes(os.getpgrp(), tmp_path) == 0


def test_a_process_may_be_called_anything(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text("7 (a) b (c)) S 1 42 42 0")
    (tmp_path / "7/statm").write_text("100 10 5 1 0 5 0")
    assert group_bytes(42, tmp_path) == 10 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("threads", "others", "share"),
    [(2, 1.0, 0.5), (1, 1.0, 0.0), (2, 0.0, 0.0), (2, 2.0, 1.0), (1, 1.5, 0.5)],
)
def test_contention_is_what_the_threads_of_this_process_miss(
    threads, others, share, tmp_path, monkeypatch
):
    ticks = os.sysconf("SC_CLK_TCK")

    def at(seconds):
        monkeypatch.setattr("time.monotonic", lambda: seconds)
        monkeypatch.setattr("time.process_time", lambda: seconds * threads)
        busy = round(seconds * (threads + others) * ticks)
        (tmp_path / "stat").write_text(f"cpu {busy} 0 0 0 0 0 0 0 0 0\n")

    at(10)
    contention = Contention(threads, cores=2, proc=tmp_path)
    at(20)
    assert contention.share() == pytest.approx(share)


def test_contention_that_the_system_does_not_tell_of_is_none(tmp_path):
    assert Contention(1, cores=2, proc=tmp_path).share() == 0.0
