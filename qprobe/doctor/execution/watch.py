"""Watches the process of a method from its start to its end: its words, its time, its memory."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qprobe.doctor.execution.messages import Begin, Done, Ended, Message, parse_message

if TYPE_CHECKING:
    from qprobe.doctor.execution.nursery import Nursery

LOOK_EVERY_S = 0.02
LOOK_AT_GROUP_EVERY_S = 0.25
TAIL_BYTES = 4096


@dataclass(frozen=True)
class Limits:
    """What a method may take. Past one of them, its process is killed."""

    import_s: float
    step_s: float
    whole_s: float
    memory_bytes: int
    compile_s: float = 300.0
    """What a library may take to compile its own code, once for all runs: it is no part of the whole."""
    death_s: float = 10.0
    """What a process that was killed may take to be gone: a driver may hold it."""


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


class Watch:
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
        self._cause, self._killed = "", 0.0

    def until_it_ends(self) -> Ending:
        """Hear it out, or kill it when it is past a limit, and leave it where that does not end it."""
        with selectors.DefaultSelector() as selector:
            for descriptor in (self._results, self._output):
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            selector.register(self._nursery.control, selectors.EVENT_READ)
            while not self._nursery.has_line():
                ready = {key.fd for key, _ in selector.select(LOOK_EVERY_S)}
                for descriptor in ready & {self._results, self._output}:
                    if not self._read(descriptor):
                        selector.unregister(descriptor)
                if self._nursery.control.fileno() in ready:
                    break
                self._judge()
                if self._is_stuck():
                    self._nursery.close()
                    return self._ending(f"{self._cause}, and is not gone when it is killed", 0)
            ended = self._nursery.ended()
        while self._read(self._results):
            pass
        while self._read(self._output):
            pass
        return self._ending(self._words(ended), ended.peak_bytes)

    def _ending(self, words: str, peak_bytes: int) -> Ending:
        output = self._tail.decode(errors="replace").strip()
        return Ending(words=words, step=self._step, peak_bytes=peak_bytes, output=output)

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
                now = time.monotonic()
                if self._step.startswith("compile "):
                    self._began += now - self._step_began
                self._step, self._step_began = "", now
        self._hear(message)

    def _judge(self) -> None:
        """Kill the process when it is past a limit."""
        if self._cause:
            return
        now, limits = time.monotonic(), self._limits
        verb = self._step.partition(" ")[0]
        own = {"import": limits.import_s, "compile": limits.compile_s}
        step_limit = own.get(verb, limits.step_s)
        whole_began = self._began if verb != "compile" else now
        is_thorough = now - self._looked > LOOK_AT_GROUP_EVERY_S
        if is_thorough:
            self._looked = now
        if now - self._step_began > step_limit:
            self._cause = f"does not end within {step_limit:g} s"
        elif now - whole_began > limits.whole_s:
            self._cause = f"takes more than {limits.whole_s:g} s in all"
        elif self._nursery.resident(is_thorough) > limits.memory_bytes:
            self._cause = f"takes more than {limits.memory_bytes / 2**30:.1f} GiB of memory"
        if self._cause:
            self._killed = now
            self._nursery.kill()

    def _is_stuck(self) -> bool:
        """Whether it was killed, and has not ended for long."""
        return bool(self._cause) and time.monotonic() - self._killed > self._limits.death_s

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
