"""Has processes started for methods, and watches each: its words, its time, its memory."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qprobe.doctor.execution.memory import PROC, group_bytes, resident_bytes
from qprobe.doctor.execution.messages import (
    Begin,
    Done,
    Ended,
    Message,
    Request,
    parse_message,
)
from qprobe.errors import UnavailableError

STARTER = "qprobe.doctor.execution.starter"
START_LIMIT_S = 120.0  # importing torch from a cold disk alone can take half a minute
DEATH_LIMIT_S = 10.0
LOOK_EVERY_S = 0.02
LOOK_AT_GROUP_EVERY_S = 0.25
TAIL_BYTES = 4096

OFFLINE = {
    "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false", "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1",
}  # fmt: skip
"""Nothing is fetched, and the current folder's files are no modules."""


@dataclass(frozen=True)
class Limits:
    """What a method may take. Past one of them, its process is killed."""

    import_s: float
    step_s: float
    whole_s: float
    memory_bytes: int


@dataclass(frozen=True)
class Ending:
    """How the process of a method ended."""

    words: str
    """"" when the script came to its end; else what ended it."""
    step: str
    """The step that had begun and was not over."""
    peak_bytes: int
    output: str
    """The end of what it printed."""


class Nursery:
    """The connection to the starter, which starts when it is first needed."""

    def __init__(self, environment: dict[str, str] | None = None, proc: Path = PROC) -> None:
        self._extra, self._proc = environment or {}, proc
        self._starter: subprocess.Popen[bytes] | None = None
        self._control: socket.socket
        self._received = b""
        self._child = 0

    def run(self, request: Request, limits: Limits, hear: Callable[[Message], None]) -> Ending:
        """Run one method in a process of its own and pass on what it reports.

        Raises UnavailableError where the method took the starter with it; the next run starts anew.
        """
        if self._starter is not None and self._starter.poll() is not None:
            self.close()
        if self._starter is None:
            self._start()
        read, write = os.pipe()
        heard, spoken = os.pipe()
        try:
            message = request.model_dump_json().encode()
            socket.send_fds(self._control, [message], [write, spoken])
            os.close(write)
            os.close(spoken)
            self._child = int(self._line(DEATH_LIMIT_S))
            return _Watch(self, limits, hear, read, heard).until_it_ends()
        except OSError as error:
            self.close()
            raise UnavailableError(f"the process that starts others: {error}") from error
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
            self._control, self._received = ours, b""
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
            self._control.settimeout(max(left, 1e-3))
            try:
                piece = self._control.recv(4096)
            except TimeoutError:
                piece = b""
            if not piece:
                raise UnavailableError("the process that starts others is gone", "try again")
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
        self._child = 0
        if self._starter is not None:
            self._control.close()
            self._starter.kill()
            self._starter.wait()
            self._starter = None


class _Watch:
    """One process, from its start to its end."""

    def __init__(
        self,
        nursery: Nursery,
        limits: Limits,
        hear: Callable[[Message], None],
        results: int,
        output: int,
    ) -> None:
        self._nursery, self._limits, self._hear = nursery, limits, hear
        self._results, self._output = results, output
        self._partial, self._tail = b"", b""
        self._began = self._step_began = time.monotonic()
        self._looked = 0.0
        self._step, self._is_done, self._garbage = "", False, b""
        self._cause = ""

    def until_it_ends(self) -> Ending:
        with selectors.DefaultSelector() as selector:
            for descriptor in (self._results, self._output):
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            selector.register(self._nursery._control, selectors.EVENT_READ)
            while not self._nursery.has_line():
                ready = {key.fd for key, _ in selector.select(LOOK_EVERY_S)}
                for descriptor in ready & {self._results, self._output}:
                    if not self._read(descriptor):
                        selector.unregister(descriptor)
                if self._nursery._control.fileno() in ready:
                    break
                self._judge()
            ended = self._nursery.ended()
        while self._read(self._results):
            pass
        while self._read(self._output):
            pass
        return Ending(
            words=self._words(ended),
            step=self._step,
            peak_bytes=ended.peak_bytes,
            output=self._tail.decode(errors="replace").strip(),
        )

    def _read(self, descriptor: int) -> bool:
        """Read what is there; False at the end of the stream, or when nothing is there."""
        try:
            piece = os.read(descriptor, 2**16)
        except BlockingIOError:
            return False
        if descriptor == self._output:
            self._tail = (self._tail + piece)[-TAIL_BYTES:]
            return bool(piece)
        *lines, self._partial = (self._partial + piece).split(b"\n")
        for line in lines:
            self._take(line)
        return bool(piece)

    def _take(self, line: bytes) -> None:
        message = parse_message(line)
        match message:
            case None:
                self._garbage = self._garbage or line[:80]
                return
            case Begin(name=name):
                self._step, self._step_began = name, time.monotonic()
            case Done():
                self._is_done = True
            case _:
                self._step, self._step_began = "", time.monotonic()
        self._hear(message)

    def _judge(self) -> None:
        """Kill the process when it is past a limit."""
        if self._cause:
            return
        now, limits = time.monotonic(), self._limits
        step_limit = limits.import_s if self._step.startswith("import ") else limits.step_s
        is_thorough = now - self._looked > LOOK_AT_GROUP_EVERY_S
        if is_thorough:
            self._looked = now
        if now - self._step_began > step_limit:
            self._cause = f"does not end within {step_limit:g} s"
        elif now - self._began > limits.whole_s:
            self._cause = f"takes more than {limits.whole_s:g} s in all"
        elif self._nursery.resident(is_thorough) > limits.memory_bytes:
            self._cause = f"takes more than {limits.memory_bytes / 2**30:.1f} GiB of memory"
        if self._cause:
            self._nursery.kill()

    def _words(self, ended: Ended) -> str:
        if self._cause:
            return self._cause
        if os.WIFSIGNALED(ended.status):
            number = os.WTERMSIG(ended.status)
            name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
            return f"ends the process by {name}"
        if self._is_done:
            return ""
        if self._garbage:
            return f"writes {self._garbage!r} where its results should be"
        return f"ends the process with status {os.WEXITSTATUS(ended.status)}"
