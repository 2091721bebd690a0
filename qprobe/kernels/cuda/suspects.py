"""Kernels that brought a card down: remembered, so that the next run goes without them.

A fault in a kernel takes the whole process from the card, and a kernel that does not end takes the process itself. So
a kernel is noted before it runs for the first time on a shape and struck out when it has; who finds a note of a process
that is no more knows which kernel it was.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from qprobe.errors import CrashError
from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.cubins import included
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.portfolio import Source
from qprobe.timing.cache import cache_folder

FOLDER = "crashed"
"""Under QPROBE_CACHE, or the user's cache folder."""
PROCESS = re.compile(r"^process (\d+) \((\d*)\) ")
STARTED = 19
"""Of the words behind the name in /proc/PID/stat: when the process started, in clock ticks since the system did."""
LONGEST = 300
"""Characters of what the driver says."""


def find_crash(source: Source, card: Card) -> str:
    """How the kernel failed on this card before, and what to do to try it again; "" if it did not. Reads the disk."""
    path = _place(source, card)
    try:
        words = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    noted = PROCESS.match(words)
    if noted and _is_alive(int(noted[1]), noted[2]):
        return ""  # It is being tried, here or in another process.
    # The words become part of documents, which tell no paths.
    return (
        f"it brought down {card.name} before ({words}); to try it again, delete "
        f"{FOLDER}/{path.name} in qprobe's cache"
    )


@contextlib.contextmanager
def trial(source: Source, index: int) -> Iterator[None]:
    """Around the first run of a kernel on a shape: waits for the card, and remembers the kernel if that is lost.

    Raises CrashError then; what else is raised within passes. Writes the disk where it can.
    """
    card = driver.find_card(index)
    path = _place(source, card)
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    process = os.getpid()
    _note(
        path, f"process {process} ({_started(process)}) began it at {now} UTC and did not come back"
    )
    try:
        try:
            yield
        finally:
            _wait(source, card, path, now)
    except CrashError:
        raise
    except BaseException:
        _strike_out(path, process)
        raise
    _strike_out(path, process)


def _wait(source: Source, card: Card, path: Path, now: str) -> None:
    try:
        driver.current().synchronize(card.index)
    except RuntimeError as error:
        words = " ".join(str(error).split())[:LONGEST]
        is_noted = _note(path, f"at {now} UTC: {words}")
        raise CrashError(
            f"cuda.{source.name} brought down {card.name}: {words}",
            "run it again: this kernel is left out from now on"
            if is_noted
            else "this process cannot use the card any more, and the folder of QPROBE_CACHE cannot be written to "
            "leave the kernel out",
        ) from error


def _place(source: Source, card: Card) -> Path:
    name = f"{source.name}-{card.capability}-{_digest(source, card.name)}.txt"
    return cache_folder(FOLDER) / name


@functools.cache
def _digest(source: Source, card: str) -> str:
    """Another text of the kernel, or another card, has another."""
    digest = hashlib.sha256(card.encode())
    for path in included(source.path):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _note(path: Path, words: str) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words + "\n", encoding="utf-8")
    except OSError:
        return False
    return True


def _strike_out(path: Path, process: int) -> None:
    """But not what another process, or a crash beside this trial, has left there."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8").startswith(f"process {process} "):
            path.unlink()


def _is_alive(process: int, started: str) -> bool:
    """Whether it is the same process; in a container each new one may have the number of the last."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # Of another user.
    return _started(process) == started


def _started(process: int) -> str:
    """What tells a process from another of its number; "" where the system does not say."""
    try:
        words = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return words[STARTED]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
