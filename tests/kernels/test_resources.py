"""What the system leaves to a process, from planted /proc, /sys and cgroup files."""

from __future__ import annotations

import os

import pytest

from qprobe.kernels import resources

GIB = 2**30


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


V1 = "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n"
V2 = {"proc/self/cgroup": "0::/\n"}
V2_QUOTA = "sys/fs/cgroup/cpu.max"
CFS = "sys/fs/cgroup/cpu/{}cpu.cfs_{}_us"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, 8, id="no cgroup"),
        pytest.param(V2 | {V2_QUOTA: "150000 100000\n"}, 2, id="v2 rounded up"),
        pytest.param(V2 | {V2_QUOTA: "max 100000\n"}, 8, id="v2 max"),
        pytest.param(V2 | {V2_QUOTA: "5000 100000\n"}, 1, id="v2 tiny"),
        pytest.param(V2 | {V2_QUOTA: "9900000 100000\n"}, 8, id="v2 above affinity"),
        pytest.param(V2 | {V2_QUOTA: "100000 0\n"}, 8, id="v2 without period"),
        pytest.param(V2 | {V2_QUOTA: "rubbish\n"}, 8, id="v2 rubbish"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            },
            3,
            id="v2 nested",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/host/path\n", V2_QUOTA: "400000 100000\n"},
            4,
            id="v2 in a container",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                CFS.format("docker/abc/", "quota"): "250000\n",
                CFS.format("docker/abc/", "period"): "100000\n",
            },
            3,
            id="v1",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                CFS.format("", "quota"): "-1\n",
                CFS.format("", "period"): "100000\n",
            },
            8,
            id="v1 unlimited",
        ),
    ],
)
def test_usable_cores(plant, eight_cores, files, cores):
    assert resources.usable_cores(plant(files)) == cores


MEMINFO = "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\n"
V1_MEMORY = "sys/fs/cgroup/memory/{}memory.{}_in_bytes"


@pytest.mark.parametrize(
    ("files", "total", "available"),
    [
        pytest.param({}, 16 * GIB, 8 * GIB, id="no cgroup"),
        pytest.param(
            V2
            | {
                "sys/fs/cgroup/memory.max": f"{4 * GIB}\n",
                "sys/fs/cgroup/memory.current": f"{3 * GIB}\n",
                "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {GIB}\nactive_file 7\n",
            },
            4 * GIB,
            2 * GIB,
            id="v2 less its cache",
        ),
        pytest.param(
            V2
            | {
                "sys/fs/cgroup/memory.max": "max\n",
                "sys/fs/cgroup/memory.current": f"{3 * GIB}\n",
            },
            16 * GIB,
            8 * GIB,
            id="v2 max",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                V1_MEMORY.format("", "limit"): "9223372036854771712\n",
                V1_MEMORY.format("", "usage"): "5\n",
                V1_MEMORY.format("docker/abc/", "limit"): f"{2 * GIB}\n",
                V1_MEMORY.format("docker/abc/", "usage"): f"{3 * GIB}\n",
            },
            2 * GIB,
            0,
            id="v1 nested and overdrawn",
        ),
    ],
)
def test_memory_by_system_and_cgroup(plant, files, total, available):
    root = plant({"proc/meminfo": MEMINFO} | files)
    assert resources.memory_bytes(root) == total
    assert resources.available_memory_bytes(root) == available


def test_memory_is_unknown_without_proc(tmp_path):
    assert resources.memory_bytes(tmp_path) is None
    assert resources.available_memory_bytes(tmp_path) is None


def cache(cpu, index, level, size, shared):
    folder = f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}"
    return {
        f"{folder}/level": f"{level}\n",
        f"{folder}/size": f"{size}\n",
        f"{folder}/shared_cpu_list": f"{shared}\n",
    }


def test_last_level_caches_are_added_up_once_each(plant):
    root = plant(
        cache(0, 2, 2, "512K", "0")
        | cache(0, 3, 3, "32M", "0-1")
        | cache(1, 3, 3, "32M", "0-1")
        | cache(2, 3, 3, "32768K", "2-3")
    )
    assert resources.last_level_cache_bytes(root) == 64 * 2**20


def test_last_level_cache_is_unknown_without_sys(tmp_path):
    assert resources.last_level_cache_bytes(tmp_path) is None
