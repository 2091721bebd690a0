"""How the script of a method tells what it tries and what came of it."""

from __future__ import annotations

import math
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from qprobe.doctor.execution.messages import Begin, Done, End, Message, Timed
from qprobe.documents.finding import Speed, Trial
from qprobe.errors import QprobeError

REFUSALS = (NotImplementedError, ValueError, AssertionError, ImportError, RuntimeError, QprobeError)
"""By these a library says that it cannot. Others, as KeyError, say that it did not know."""
FATAL = ("cuda error", "illegal memory access", "out of memory", "can't allocate", "bad_alloc")
"""By these words a RuntimeError tells of more than a refusal."""
Preparing = Literal["import", "compile"]
"""What steps begin with that make a method ready, and say nothing of it when they go well."""
PREPARING = tuple(f"{verb} " for verb in get_args(Preparing))
LONGEST = 300
PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """What a step gave: its relative error, and how much of it is explained."""

    error: float
    limit: float
    words: str = ""


class Report:
    """Sends what happens over a channel of its own: stdout belongs to whatever is tried."""

    def __init__(self, channel: int, device: str, done: frozenset[str], is_full: bool) -> None:
        self.device, self.is_full = device, is_full
        self._channel, self._done = channel, done

    @property
    def kind(self) -> str:
        """The kind of the device: "cpu" or "cuda"."""
        return self.device.partition(":")[0]

    def attempt(self, name: str, step: Callable[[], Answer | None]) -> bool:
        """Run a step, unless that was done before; whether it came out right, as far as is known.

        A step without an answer is right when it comes to its end.
        """
        if name in self._done:
            return True
        self._send(Begin(name=name))
        try:
            trial = _trial(name, step())
        except Exception as error:  # whatever a library raises is its answer
            trial = _raised(name, error)
        self._send(End(trial=trial))
        return trial.outcome == "right"

    def load(self, package: str, step: Callable[[], object], verb: Preparing = "import") -> bool:
        """Import or compile what the method needs, in every process anew; whether that went well."""
        name = f"{verb} {package}"
        self._send(Begin(name=name))
        try:
            step()
        except Exception as error:  # it is installed, so that nothing excuses it
            words = _shorten(f"{type(error).__name__}: {error}")
            self._send(End(trial=Trial(name=name, outcome="failed", words=words)))
            return False
        self._send(End(trial=Trial(name=name, outcome="right")))
        return True

    def measure(self, name: str, step: Callable[[], Speed | None]) -> None:
        """Time a layer, unless that was done before; what goes wrong is a trial of that name."""
        if name in self._done:
            return
        self._send(Begin(name=name))
        try:
            speed = step()
        except Exception as error:  # as above
            self._send(End(trial=_raised(name, error)))
        else:
            if speed is not None:
                self._send(Timed(speed=speed))

    def lacks(self, name: str, why: str) -> None:
        """Say what the method could have had to be faster, and why it has not; nothing for no reason."""
        if why and name not in self._done:
            self._send(End(trial=Trial(name=name, outcome="refused", words=_shorten(why))))

    def finish(self) -> None:
        """Say that the script came to its end."""
        self._send(Done())

    def _send(self, message: Message) -> None:
        line = message.model_dump_json().encode() + b"\n"
        while line:
            line = line[os.write(self._channel, line) :]


def _trial(name: str, answer: Answer | None) -> Trial:
    if answer is None:
        return Trial(name=name, outcome="right")
    is_known = math.isfinite(answer.error)
    return Trial(
        name=name,
        outcome="right" if is_known and answer.error <= answer.limit else "wrong",
        error=answer.error if is_known else None,
        limit=answer.limit,
        words=answer.words,
    )


def _raised(name: str, error: Exception) -> Trial:
    """A library's way to say no is a refusal; whatever else it raises is a failure."""
    text = str(error) if isinstance(error, QprobeError) else f"{type(error).__name__}: {error}"
    is_fatal = any(words in text.lower() for words in FATAL)
    if _is_ours(error):
        text = f"the test does not fit this version: {text}"
    elif is_fatal or not isinstance(error, REFUSALS):
        return Trial(name=name, outcome="failed", words=_shorten(text))
    return Trial(name=name, outcome="refused", words=_shorten(text))


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _is_ours(error: Exception) -> bool:
    """Whether a script asked a library for what it does not have."""
    if not isinstance(error, ImportError | AttributeError | TypeError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(PACKAGE / "doctor")
