"""Runs a part of `make gpu` in a process of its own, for so long and no longer."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 10.0
"""What a part whose time is up has to say what it found until then."""


@dataclass(frozen=True)
class Outcome:
    """What became of a part."""

    name: str
    status: int
    seconds: float
    is_late: bool

    @property
    def words(self) -> str:
        """As in "tests passed in 93 s"."""
        how = "passed" if self.status == 0 else f"failed ({self.status})"
        return f"{self.name} {'ran out of time' if self.is_late else how} in {self.seconds:.0f} s"


def run_part(
    name: str, arguments: tuple[str, ...], limit_s: float, folder: Path, grace_s: float = GRACE_S
) -> Outcome:
    """`python ARGUMENTS …`; when its time is up it is interrupted, which is a failure whatever it then says.

    What it has written until then stays. It is ended with all that it has started.
    """
    print(f"--- {name}, {limit_s:.0f} s at most", flush=True)
    start = time.monotonic()
    process = _start(arguments, folder)
    is_late = False
    try:
        status = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        is_late = True
        _signal(process, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
        status = 124
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()
    outcome = Outcome(name, status, time.monotonic() - start, is_late)
    print(f"--- {outcome.words}", flush=True)
    return outcome


def _start(arguments: tuple[str, ...], folder: Path) -> subprocess.Popen[bytes]:
    """In a session of its own, and able to be interrupted: what a shell starts behind itself ignores that, and so would
    what is started from it.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([sys.executable, *arguments], cwd=folder, start_new_session=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the part and all that it has started, if there is still any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
