"""What a run without names costs: memory over all its processes, and processor time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

MOST_BYTES = 400 * 10**6
MOST_CPU_S = 20.0
"""Two cores for ten seconds."""
NO_TORCH_CPU_S = 1.5
PROC = Path("/proc")

pytestmark = pytest.mark.skipif(
    not (PROC / "self/smaps_rollup").exists(),
    reason="the system does not tell what pages are shared",
)


def tree(pid: int) -> list[int]:
    """A process and all under it."""
    children: dict[int, list[int]] = {}
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def held_bytes(pid: int) -> int:
    """Resident memory; a page that several processes share counts by its share, so that sums are right."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def total(held: dict[int, int]) -> int:
    return sum(held.values())


def run(start, *arguments):
    """Status, the bytes of its processes when they held most together, and their processor seconds."""
    process = start(["doctor", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most, before, status, usage = {}, {}, None, None
    end = time.monotonic() + 300
    while status is None:
        held = {pid: held_bytes(pid) for pid in tree(process.pid)}
        # While processes start and end, pages are counted twice or not: what counts lasts for two looks.
        most = max(most, min(before, held, key=total), key=total)
        before = held
        pid, code, usage = os.wait4(process.pid, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if pid else None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.returncode = status
    return status, most, usage.ru_utime + usage.ru_stime


@pytest.mark.slow
def test_a_run_without_names_is_light(start):
    """Of processor time, since the wall clock is shared with whatever else runs."""
    status, most, cpu_s = run(start, "--device", "cpu")
    assert status in (0, 1)
    assert total(most) < MOST_BYTES, most
    assert cpu_s < MOST_CPU_S


def test_a_check_that_needs_no_torch_imports_none(start):
    status, most, cpu_s = run(start, "memory")
    assert status in (0, 1)
    assert total(most) < 100 * 2**20, most
    assert cpu_s < NO_TORCH_CPU_S


def test_torch_is_in_no_process_of_such_a_run(start, tmp_path):
    (tmp_path / "torch.py").write_text("open(__file__ + '.seen', 'w')\nraise ImportError('no')\n")
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    process = start(["doctor", "memory", "load"], env=env)
    process.communicate(timeout=60)
    assert process.returncode in (0, 1)
    assert not (tmp_path / "torch.py.seen").exists()
    process = start(["doctor", "torch"], env=env)
    process.communicate(timeout=60)
    assert (tmp_path / "torch.py.seen").exists(), sys.executable
