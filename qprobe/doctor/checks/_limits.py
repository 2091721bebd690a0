"""What of the machine a process may use, by the limits that its container or its service has."""

from __future__ import annotations

import math

from qprobe.documents.machine import Host, Machine

GIB = 2**30


def usable_cores(machine: Machine) -> int:
    """By affinity and quota, rounded up."""
    limit = machine.host.cpu_limit_cores if machine.host else None
    usable = machine.cpu.usable_cores
    return usable if limit is None else min(usable, max(1, math.ceil(limit)))


def within_limit(machine: Machine, memory_bytes: int | None) -> int | None:
    """The bytes, or the limit of memory where that is less."""
    limit = machine.host.memory_limit_bytes if machine.host else None
    return memory_bytes if None in (limit, memory_bytes) else min(limit or 0, memory_bytes or 0)


def tell_limits(host: Host) -> list[str]:
    """Each limit in words."""
    limits = []
    if host.cpu_limit_cores is not None:
        limits.append(f"{host.cpu_limit_cores:g} cores")
    if host.memory_limit_bytes is not None:
        limits.append(f"{host.memory_limit_bytes / GIB:.1f} GiB of memory")
    return limits
