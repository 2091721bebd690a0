"""Kernels that brought a card down: remembered, so that the next run goes without them.

A fault in a kernel takes the whole process from the card, and a kernel that does not end takes the process itself. So
a kernel is noted before it runs for the first time on a shape and struck out when it has. The note is locked meanwhile,
by the system, which takes the lock off when the process is no more: who finds a note without a lock knows which kernel
it was, in another container, too.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from qprobe.errors import CrashError
from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.cubins import included
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.portfolio import Source
from qprobe.timing.cache import cache_folder, list_kept

FOLDER = "crashed"
"""Under QPROBE_CACHE, or the user's cache folder."""
UNTOLD = "did not come back"
STRIKES = 2
"""Processes that did not come back before the kernel is blamed: the first may have been ended by a closed terminal, a
scheduler or want of memory."""
LONGEST = 300
"""Characters of what the driver says."""


def find_crash(source: Source, card: Card) -> str:
    """How the kernel failed on this card before, and what to do to try it again; "" if it did not. Reads the disk."""
    notes = f"{_stem(source, card)}*.txt"
    found = [words for path in list_kept(FOLDER, notes) if (words := _read(path))]
    told = [words for words in found if not words.endswith(UNTOLD)]
    if not told and len(found) < STRIKES:
        return ""
    # The words become part of documents, which tell no paths.
    return (
        f"it brought down {card.name} before ({(told or found)[0]}); to try it again, delete "
        f"{FOLDER}/{notes} in qprobe's cache"
    )


@contextlib.contextmanager
def trial(source: Source, index: int) -> Iterator[None]:
    """Around the first run of a kernel on a shape: waits for the card, and remembers the kernel if that is lost.

    Raises CrashError then; what else is raised within passes. Writes the disk where it can.
    """
    card = driver.find_card(index)
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    note = _Note(_stem(source, card))
    note.write(f"a process began it at {now} UTC and {UNTOLD}", locked=True)
    with contextlib.closing(note):
        try:
            try:
                yield
            finally:
                _wait(source, card, note, now)
        except CrashError:
            raise
        except BaseException:
            note.strike_out()
            raise
        note.strike_out()


class _Note:
    """What is left of a trial if nobody strikes it out; locked until it is closed."""

    def __init__(self, stem: str) -> None:
        """Write nothing yet."""
        self._stem = stem
        self._file: TextIO | None = None
        self._path: Path | None = None

    def write(self, words: str, *, locked: bool) -> bool:
        """Have these words there, in place of earlier ones, and whether they are.

        The disk may be full, of others, or, where the words are to be `locked`, without locks.
        """
        try:
            if self._file is None:
                self._file, self._path = _create(self._stem, locked=locked)
            self._file.seek(0)
            self._file.truncate()
            self._file.write(words + "\n")
            self._file.flush()
        except OSError:
            return False
        return True

    def strike_out(self) -> None:
        if self._file is not None and self._path is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(0)  # Who has opened it already finds nothing.
                self._path.unlink()

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()


def _create(stem: str, *, locked: bool) -> tuple[TextIO, Path]:
    """A file of this process alone, locked before others can find it by its name."""
    folder = cache_folder(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{uuid.uuid4().hex[:8]}.txt"
    unlocked = path.with_suffix(".new")
    file = unlocked.open("x", encoding="utf-8")
    try:
        if locked:
            _lock(file, "LOCK_EX")
        unlocked.replace(path)
    except OSError:
        file.close()
        with contextlib.suppress(OSError):
            unlocked.unlink()
        raise
    return file, path


def _read(path: Path) -> str:
    """What a note says; "" where it cannot be read, or is of a trial that still goes on."""
    try:
        with path.open(encoding="utf-8") as file:
            # On a disk without locks nothing is noted that still runs.
            with contextlib.suppress(OSError):
                if _is_locked(file):
                    return ""
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_locked(file: TextIO) -> bool:
    try:
        _lock(file, "LOCK_SH")
    except BlockingIOError:
        return True
    return False


def _lock(file: TextIO, kind: str) -> None:
    try:
        import fcntl
    except ImportError as error:  # As on Windows.
        raise OSError("this system has no locks of files") from error
    fcntl.flock(file, getattr(fcntl, kind) | fcntl.LOCK_NB)


def _wait(source: Source, card: Card, note: _Note, now: str) -> None:
    try:
        driver.current().synchronize(card.index)
    except RuntimeError as error:
        words = " ".join(str(error).split())[:LONGEST]
        is_noted = note.write(f"at {now} UTC: {words}", locked=False)
        raise CrashError(
            f"cuda.{source.name} brought down {card.name}: {words}",
            "run it again: this kernel is left out from now on"
            if is_noted
            else "this process cannot use the card any more, and the folder of QPROBE_CACHE cannot be written to "
            "leave the kernel out",
        ) from error


def _stem(source: Source, card: Card) -> str:
    """How the names of notes begin."""
    return f"{source.name}-{card.capability}-{_digest(source, card.name)}"


@functools.cache
def _digest(source: Source, card: str) -> str:
    """Another text of the kernel, or another card, has another."""
    digest = hashlib.sha256(card.encode())
    for path in included(source.path):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
