"""Asks torch in processes of their own, where a crash or an endless loop is only a fact."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import Field, ValidationError

from qprobe.documents.base import Document
from qprobe.documents.machine import Int8SelfTest, Nvrtc, Rate
from qprobe.probe.torch_facts import TorchFacts

QUESTIONS = ("facts", "bandwidth", "int8", "bf16", "compilers")
COMMAND = (sys.executable, "-m", "qprobe.probe.self_test")
AT_MOST = "at-most="
LIMIT_S = 60.0  # importing torch from a cold disk alone can take half of it
DEATH_LIMIT_S = 5.0


def limit_memory(most_bytes: int) -> tuple[str, ...]:
    """The command that measures bandwidth on so much memory at most."""
    return (*COMMAND, f"{AT_MOST}{most_bytes}")


class SelfTestAnswer(Document):
    """What was found; None: not asked, or no answer."""

    facts: TorchFacts | None = None
    bandwidth: tuple[Rate, Rate] | None = None
    """Bytes per second of copying, and of reading."""
    int8: Int8SelfTest | None = None
    bf16: Rate | None = None
    """Speed of a bf16 product over the same in fp32."""
    compilers: tuple[Nvrtc, ...] | None = None
    broke: dict[str, str] = Field(default_factory=dict)
    """Question → how the process ended that was to answer it."""


def run_self_test(
    questions: Sequence[str] = QUESTIONS,
    command: Sequence[str] = COMMAND,
    limit_s: float = LIMIT_S,
) -> SelfTestAnswer:
    """Ask, wait at most `limit_s` a process, and read the answers; never raises for its death.

    A question that ends its process has that for an answer, and the rest are asked anew.
    """
    found: dict[str, object] = {}
    broke: dict[str, str] = {}
    left = list(questions)
    while left:
        text, words = run_apart([*command, *left], limit_s)
        answers = _read(text)
        found |= answers
        open_ = [question for question in left if question not in answers]
        if not words and open_ and not _lacks_torch(found):
            words = f"unreadable answer {_last_line(text)!r:.80}"
        if not words or not open_:
            break
        broke[open_[0]] = f"torch in a process of its own: {words}"
        left = open_[1:] if open_[0] != "facts" else [q for q in open_ if q == "compilers"]
    return SelfTestAnswer.model_validate(found | {"broke": broke})


def run_apart(command: Sequence[str], limit_s: float, given: str = "") -> tuple[str, str]:
    """What a process of its own printed, and how it ended if not well; `given` is what it reads."""
    # The checkout may not be installed, and the current folder may hold files named like modules.
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONSAFEPATH": "1",
    }
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return "", f"{Path(command[0]).name}: {error.strerror}"
    try:
        said, complaints = process.communicate(given, limit_s)
    except subprocess.TimeoutExpired as error:
        text = error.stdout or b""
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        return said, f"no answer within {limit_s:g} s"
    finally:
        _end(process)
    if process.returncode < 0:
        return said, f"ended by {_name(-process.returncode)}"
    words = _last_line(complaints) or f"ended with status {process.returncode}"
    return said, words if process.returncode else ""


def _end(process: subprocess.Popen[str]) -> None:
    """Kill it if it still runs, and leave it where that does not end it: a driver may hold it."""
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(DEATH_LIMIT_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _read(text: str) -> dict[str, object]:
    """Question → answer. What is no answer, such as talk of a library, is passed over."""
    found: dict[str, object] = {}
    for line in text.splitlines():
        try:
            part = SelfTestAnswer.model_validate_json(line)
        except ValidationError:
            continue
        found |= {name: getattr(part, name) for name in part.model_fields_set if name != "broke"}
    return found


def _lacks_torch(found: dict[str, object]) -> bool:
    """Whether torch said that it cannot be imported: the other questions have that for an answer."""
    facts = found.get("facts")
    return isinstance(facts, TorchFacts) and facts.build is None


def _name(number: int) -> str:
    known = number in set(signal.Signals)
    return signal.Signals(number).name if known else f"signal {number}"


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
