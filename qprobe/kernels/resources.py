"""What the system leaves to this process: cores and memory, by every cgroup that it is in, and caches.

Every reader takes the root of the file system, so that it can be shown a planted one.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Cores by affinity and by the tightest cgroup quota, rounded up."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min([cores, *(max(1, math.ceil(quota)) for quota in cpu_quotas(root))])


def cpu_quotas(root: Path) -> Iterator[float]:
    """Cores that each cgroup of this process may use, where it is limited."""
    for group in _cgroups("cpu", root):
        words = _read(group / "cpu.max").split() or [
            _read(group / "cpu.cfs_quota_us"),
            _read(group / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]) > 0:
            yield int(words[0]) / int(words[1])


def memory_bytes(root: Path = ROOT) -> int | None:
    """Memory of the machine, or of the cgroup where that is less; None when unknown."""
    total = _meminfo("MemTotal", root)
    if total is None and root == ROOT and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = (limit for limit, _ in memory_limits(root))
    return min([total, *limits]) if total else None


def available_memory_bytes(root: Path = ROOT) -> int | None:
    """Memory that can still be taken, by the system and by every cgroup; None when unknown."""
    available = _meminfo("MemAvailable", root)
    left = (max(0, limit - use) for limit, use in memory_limits(root))
    return None if available is None else min([available, *left])


def memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of each cgroup of this process that has a limit.

    Clean file cache counts as use but gives way at once, so it is taken off.
    """
    names = (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    for group in _cgroups("memory", root):
        for limit_name, use_name, cache_name in names:
            limit, use = _read(group / limit_name), _read(group / use_name)
            if limit.isdigit() and use.isdigit():
                cache = re.search(rf"^{cache_name} (\d+)$", _read(group / "memory.stat"), re.M)
                yield int(limit), int(use) - (int(cache[1]) if cache else 0)


def _meminfo(key: str, root: Path) -> int | None:
    match = re.search(rf"^{key}:\s+(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _cgroups(controller: str, root: Path) -> Iterator[Path]:
    """Where the cgroup directories of this process would be, v1 and v2, innermost first.

    Inside a container the path may be the host's, of which only the mount point is there.
    """
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        base = mount / controller if controllers else mount
        inner = base / path.strip("/")
        yield from (group for group in (inner, *inner.parents) if group.is_relative_to(base))


def last_level_cache_bytes(root: Path = ROOT) -> int | None:
    """Total of the distinct last-level caches of the machine's cores; None when unknown."""
    sizes: dict[tuple[int, str], int] = {}
    for cache in find_files(root / "sys/devices/system/cpu", "cpu[0-9]*/cache/index[0-9]*"):
        size = re.fullmatch(r"(\d+)([KMG])", _read(cache / "size"))
        level = _read(cache / "level")
        if size and level.isdigit():
            unit = {"K": 2**10, "M": 2**20, "G": 2**30}[size[2]]
            sizes[int(level), _read(cache / "shared_cpu_list")] = int(size[1]) * unit
    last = max((level for level, _ in sizes), default=0)
    return sum(size for (level, _), size in sizes.items() if level == last) or None


def find_files(folder: Path, pattern: str) -> list[Path]:
    """What matches in a folder, sorted; nothing where the folder may not be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _read(path: Path) -> str:
    """The text of a small file of the system; "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
