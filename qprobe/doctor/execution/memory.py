"""How much memory processes hold, by the system's own book-keeping."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def resident_bytes(pid: int, proc: Path = PROC) -> int:
    """Of one process; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        pages = (proc / str(pid) / "statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return 0


def group_bytes(group: int, proc: Path = PROC) -> int:
    """Of all processes of a process group together; 0 where the system does not tell."""
    total = 0
    with suppress(OSError):
        for entry in os.scandir(proc):
            if entry.name.isdigit() and _group_of(Path(entry.path)) == group:
                total += resident_bytes(int(entry.name), proc)
    return total


def _group_of(process: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        # The name in parentheses may hold anything; what follows its end is: state, parent, group.
        return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[2])
    return None
