"""Has a process started for each method, and sees to it that none is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qprobe.doctor.execution.memory import PROC, group_bytes, resident_bytes
from qprobe.doctor.execution.messages import Ended, Message, Request
from qprobe.doctor.execution.watch import Ending, Limits, Watch
from qprobe.errors import UnavailableError

STARTER = "qprobe.doctor.execution.starter"
START_LIMIT_S = 120.0  # importing torch from a cold disk alone can take half a minute
DEATH_LIMIT_S = 10.0

OFFLINE = {
    "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1",
}  # fmt: skip
"""Nothing is fetched, and the current folder's files are no modules."""


class StarterGoneError(UnavailableError):
    """The process that starts others ended, by what it started or by the system; another can be started."""


class Nursery:
    """The connection to the starter, which starts when it is first needed."""

    def __init__(self, environment: dict[str, str] | None = None, proc: Path = PROC) -> None:
        self._extra, self._proc = environment or {}, proc
        self._starter: subprocess.Popen[bytes] | None = None
        self.control: socket.socket
        self._received = b""
        self._child = 0

    def run(self, request: Request, limits: Limits, hear: Callable[[Message], None]) -> Ending:
        """Run one method in a process of its own and pass on what it reports.

        Raises StarterGoneError where the starter is gone; the next run starts another. Raises
        UnavailableError where none can be started.
        """
        if self._starter is not None and self._starter.poll() is not None:
            self.close()
        if self._starter is None:
            self._start()
        read, write = os.pipe()
        heard, spoken = os.pipe()
        try:
            message = request.model_dump_json().encode()
            try:
                socket.send_fds(self.control, [message], [write, spoken])
            finally:
                os.close(write)
                os.close(spoken)
            self._child = int(self._line(DEATH_LIMIT_S))
            return Watch(self, limits, hear, read, heard).until_it_ends()
        except OSError as error:
            self.close()
            raise StarterGoneError(f"the process that starts others: {error}") from error
        except BaseException:
            self.close()  # an interrupt, or a starter that is gone
            raise
        finally:
            os.close(read)
            os.close(heard)

    def _start(self) -> None:
        """Start the starter; without torch in it if importing that kills it."""
        for words in ((), ("bare",)):
            ours, theirs = socket.socketpair()
            command = [sys.executable, "-m", STARTER, str(theirs.fileno()), *words]
            self._starter = subprocess.Popen(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the doctor, who then ends the rest
            )
            theirs.close()
            self.control, self._received = ours, b""
            with suppress(UnavailableError):
                self._line(START_LIMIT_S)
                return
            self.close()
        raise UnavailableError(
            "the processes that methods run in cannot be started", "qprobe doctor --list"
        )

    def _environment(self) -> dict[str, str]:
        # The checkout may not be installed.
        paths = (str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", ""))
        joined = os.pathsep.join(path for path in paths if path)
        return os.environ | OFFLINE | {"PYTHONPATH": joined} | self._extra

    def _line(self, limit_s: float) -> bytes:
        """The next line from the starter; raises UnavailableError where none comes."""
        end = time.monotonic() + limit_s
        while b"\n" not in self._received:
            left = end - time.monotonic()
            self.control.settimeout(max(left, 1e-3))
            try:
                piece = self.control.recv(4096)
            except TimeoutError:
                piece = b""
            if not piece:
                raise StarterGoneError("the process that starts others is gone", "try again")
            self._received += piece
        line, _, self._received = self._received.partition(b"\n")
        return line

    def has_line(self) -> bool:
        """Whether a line from the starter was received and not taken yet."""
        return b"\n" in self._received

    def ended(self) -> Ended:
        """The starter's word about the process that it started, which has ended or is about to."""
        answer = Ended.model_validate_json(self._line(DEATH_LIMIT_S))
        self.kill()  # what it started in turn
        self._child = 0
        return answer

    def kill(self) -> None:
        """Kill the process of the method and all that it started."""
        if self._child:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child, signal.SIGKILL)

    def resident(self, is_thorough: bool) -> int:
        """Bytes of memory that the method holds now; 0 where the system does not tell."""
        count = group_bytes if is_thorough else resident_bytes
        return count(self._child, self._proc)

    def close(self) -> None:
        """Leave nothing running."""
        self.kill()
        if self._child:  # it may not have come to lead a group of its own
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._child, signal.SIGKILL)
        self._child = 0
        if self._starter is not None:
            self.control.close()
            self._starter.kill()
            with suppress(subprocess.TimeoutExpired):
                self._starter.wait(DEATH_LIMIT_S)
            self._starter = None
