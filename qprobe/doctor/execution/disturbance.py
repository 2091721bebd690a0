"""What else kept the processors busy while methods were timed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from qprobe.doctor.execution.memory import PROC

NOTABLE = 0.1
"""The share of the processors above which others disturb."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """Seconds of processor time so far: of everything, of this process and its children, of each."""

    at: float
    busy_s: float | None
    stolen_s: float
    own_s: float
    by_name: dict[int, tuple[str, float]] = field(default_factory=dict)


def read_load(proc: Path = PROC) -> Load:
    """Read the system's clocks now."""
    own = os.times()
    own_s = own.user + own.system + own.children_user + own.children_system
    busy_s, stolen_s = _system_seconds(proc)
    return Load(time.monotonic(), busy_s, stolen_s, own_s, _processes(proc))


def disturbance(before: Load, after: Load, cores: int, *, names: bool = True) -> str:
    """One sentence on what else ran between the two; "" if nothing that matters did, or is known.

    `names` tells the program that ran most, which may be somebody's own.
    """
    capacity = (after.at - before.at) * cores
    if before.busy_s is None or after.busy_s is None or capacity <= 0:
        return _load_average(cores)
    own = after.own_s - before.own_s
    others = max(0.0, after.busy_s - before.busy_s - own) / capacity
    stolen = (after.stolen_s - before.stolen_s) / capacity
    parts = []
    if others > NOTABLE:
        most = _busiest(before, after) if names else ""
        parts.append(f"other programs used {others:.0%} of the processors{most}")
    if stolen > NOTABLE:
        parts.append(f"other virtual machines took {stolen:.0%} of them")
    return "; ".join(parts)


class Contention:
    """Reads, at its start and when asked, how much of what this process needs others took."""

    def __init__(self, threads: int, cores: int, proc: Path = PROC) -> None:
        self._threads, self._cores, self._proc = threads, cores, proc
        self._start = self._read()

    def _read(self) -> tuple[float, float | None, float]:
        busy_s, stolen_s = _system_seconds(self._proc)
        own_s = time.process_time()
        return time.monotonic(), busy_s if busy_s is None else busy_s - own_s, stolen_s

    def share(self) -> float:
        """0 where every thread had a core to itself, as far as the system tells; 1 where none had one."""
        now, others_s, stolen_s = self._read()
        at, others_before_s, stolen_before_s = self._start
        if others_s is None or others_before_s is None or now <= at:
            return 0.0
        taken = (others_s - others_before_s + stolen_s - stolen_before_s) / (now - at)
        lacking = taken - (self._cores - self._threads)
        return min(1.0, max(0.0, lacking / self._threads))


def _system_seconds(proc: Path) -> tuple[float | None, float]:
    """Processor seconds so far of everything, where the system tells, and of what was stolen."""
    with suppress(OSError, ValueError, IndexError):
        ticks = [int(word) for word in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, _idle, _wait, hard, soft, stolen = ticks
        return (user + nice + system + hard + soft) / _TICKS, stolen / _TICKS
    return None, 0.0


def _load_average(cores: int) -> str:
    with suppress(OSError):
        minute = os.getloadavg()[0]
        if minute > cores:
            return f"the load average was {minute:.1f} on {cores} cores"
    return ""


def _processes(proc: Path) -> dict[int, tuple[str, float]]:
    """Process → its name and processor seconds, where the system tells."""
    found = {}
    with suppress(OSError):
        for entry in os.scandir(proc):
            if not entry.name.isdigit():
                continue
            with suppress(OSError, ValueError, IndexError):
                text = Path(entry.path, "stat").read_text(errors="replace")
                head, _, rest = text.rpartition(")")
                words = rest.split()
                seconds = (int(words[11]) + int(words[12])) / _TICKS
                found[int(entry.name)] = (head.partition("(")[2], seconds)
    return found


def _busiest(before: Load, after: Load) -> str:
    """The name of the process, not one of ours, that used the most."""
    used = {
        pid: seconds - before.by_name.get(pid, ("", 0.0))[1]
        for pid, (_name, seconds) in after.by_name.items()
        if pid != os.getpid()
    }
    pid = max(used, key=lambda item: used[item], default=None)
    return f", {after.by_name[pid][0]} most" if pid is not None and used[pid] > 0 else ""
