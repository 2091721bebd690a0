"""Tries methods on devices, each in a process of its own; what becomes of it is a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from qprobe._discover import discover
from qprobe.doctor import methods
from qprobe.doctor._method import Method
from qprobe.doctor.execution.messages import Begin, End, Message, Request, Timed
from qprobe.doctor.execution.nursery import Nursery, StarterGoneError
from qprobe.doctor.execution.report import PREPARING
from qprobe.doctor.execution.watch import Ending, Limits
from qprobe.doctor.judge import Outcome, judge
from qprobe.doctor.native import lack_of
from qprobe.doctor.recorded import absent_of, by_torch, not_installed
from qprobe.documents.finding import Speed, Trial, Verdict
from qprobe.documents.machine import Machine
from qprobe.kernels.resources import available_memory_bytes

FIRST = ("qprobe", "torch")
RUNS = 4
"""A process that dies at a step is followed by another that leaves the step out, this often."""
QUICK = Limits(import_s=60, step_s=10, whole_s=60, memory_bytes=2 * 2**30)
FULL = Limits(import_s=90, step_s=45, whole_s=180, memory_bytes=4 * 2**30)
MEMORY_SHARE = 0.6
"""Of the memory that is free, what a method may take."""


@cache
def list_methods() -> tuple[Method, ...]:
    """Every method, in the order in which they are tried."""
    found: tuple[Method, ...] = discover(methods, "METHOD")
    return in_order(found)


def in_order(found: Sequence[Method]) -> tuple[Method, ...]:
    """What is always there first, then by name."""

    def rank(method: Method) -> tuple[int, str]:
        library = method.id.partition("-")[0]
        return FIRST.index(library) if library in FIRST else len(FIRST), method.id

    return tuple(sorted(found, key=rank))


@dataclass
class _Heard:
    """What a method reported, over all its processes."""

    trials: list[Trial] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    _begun: str = ""

    def take(self, message: Message) -> None:
        match message:
            case Begin(name=name):
                self._begun = name
            case End(trial=trial):
                self._finish(trial.name)
                if trial.name not in {known.name for known in self.trials}:
                    self.trials.append(trial)
            case Timed(speed=speed):
                self._finish(self._begun)
                self.speeds.append(speed)

    def _finish(self, name: str) -> None:
        if not name.startswith(PREPARING):  # each process has to
            self.done.append(name)


class Trying:
    """Methods on the devices of one machine, one after the other; a context that leaves nothing running."""

    def __init__(
        self,
        machine: Machine,
        *,
        is_full: bool,
        package: str = methods.__name__,
        limits: Limits | None = None,
    ) -> None:
        self._machine, self._is_full, self._package = machine, is_full, package
        self._limits = limits or _fit(FULL if is_full else QUICK)
        # What is not compiled yet takes longer than a quick run may.
        self._nursery = Nursery({} if is_full else {"QPROBE_COMPILE": "never"})

    def __enter__(self) -> Trying:
        return self

    def __exit__(self, *_: object) -> None:
        self._nursery.close()

    def verdict(self, method: Method, device: str) -> Verdict:
        """What the method does on the device, by running it where it is there and torch can use the device."""
        missing = absent_of(method)
        if missing:
            return not_installed(method, device, missing)
        if known := by_torch(method, device, self._machine):
            return known
        heard, output = _Heard(), ""
        ending = Ending("", "", 0, "")
        is_first_loss = True
        for _ in range(RUNS):
            try:
                ending = self._run(method, device, heard)
            except StarterGoneError as error:
                ending = Ending(f"takes the process that started it along ({error})", "", 0, "")
                if is_first_loss:  # it may have been ended by another hand
                    is_first_loss = False
                    continue
            if ending.words:
                output = output or ending.output
            if not (ending.words and ending.step):
                break
            heard.trials.append(Trial(name=ending.step, outcome="died", words=ending.words))
            heard.done.append(ending.step)
            if ending.step.startswith(PREPARING):  # it would again
                break
        outcome = Outcome(
            trials=tuple(heard.trials),
            speeds=tuple(heard.speeds),
            ending="" if ending.step else ending.words,
            output=output,
            lack=lack_of(method.feature, self._machine, device),
        )
        return judge(method, device, outcome)

    def _run(self, method: Method, device: str, heard: _Heard) -> Ending:
        request = Request(
            package=self._package,
            method=method.id,
            device=device,
            is_full=self._is_full,
            done=tuple(heard.done),
            memory_bytes=self._limits.memory_bytes,
        )
        step = ""

        def hear(message: Message) -> None:
            nonlocal step
            step = message.name if isinstance(message, Begin) else ""
            heard.take(message)

        try:
            return self._nursery.run(request, self._limits, hear)
        except StarterGoneError as error:
            if not step:
                raise
            return Ending(f"takes the process that started it along ({error})", step, 0, "")


def _fit(limits: Limits) -> Limits:
    """The limits, with less memory where there is less."""
    available = available_memory_bytes()
    if available is None:
        return limits
    memory = min(limits.memory_bytes, int(available * MEMORY_SHARE))
    return replace(limits, memory_bytes=max(memory, 2**28))


def devices_of(machine: Machine) -> tuple[str, ...]:
    """The CPU, and the first GPU of each kind."""
    kinds: dict[tuple[str, str | None], str] = {}
    for device, gpu in machine.devices.items():
        kinds.setdefault((gpu.name, gpu.compute_capability), device)
    return ("cpu", *kinds.values())
