"""Asks torch in a process of its own, where a crash or an endless loop is only a fact."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from qprobe.documents.base import Document
from qprobe.documents.machine import Int8SelfTest, Nvrtc, Rate
from qprobe.probe.torch_facts import TorchFacts

QUESTIONS = ("facts", "bandwidth", "compilers", "int8", "bf16")
"""In this order: what is likely to crash comes last."""
COMMAND = (sys.executable, "-m", "qprobe.probe.self_test")
LIMIT_S = 60.0  # importing torch from a cold disk alone can take half of it


class SelfTestAnswer(Document):
    """What was found; None: not asked, or no answer."""

    facts: TorchFacts | None = None
    bandwidth: tuple[Rate, Rate] | None = None
    """Bytes per second of copying, and of reading."""
    compilers: tuple[Nvrtc, ...] | None = None
    int8: Int8SelfTest | None = None
    bf16_speed_ratio: Rate | None = None
    broke: str = ""
    """Why the process ended before its last answer, if it did."""


def run_self_test(
    questions: Sequence[str] = QUESTIONS,
    command: Sequence[str] = COMMAND,
    limit_s: float = LIMIT_S,
) -> SelfTestAnswer:
    """Start the test, wait at most `limit_s`, and read its answers; never raises for its death."""
    # The checkout may not be installed, and the current folder may hold files named like modules.
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONSAFEPATH": "1",
    }
    try:
        done = subprocess.run(
            [*command, *questions],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        text = said.decode(errors="replace") if isinstance(said, bytes) else said
        return _read(text, len(questions), f"no answer within {limit_s:g} s")
    except OSError as error:
        return _broken(f"{Path(command[0]).name}: {error.strerror}")
    if done.returncode < 0:
        words = f"ended by {signal.Signals(-done.returncode).name}"
    else:
        words = _last_line(done.stderr) or f"ended with status {done.returncode}"
    return _read(done.stdout, len(questions), words if done.returncode else "")


def _read(text: str, expected: int, words: str) -> SelfTestAnswer:
    """Put the lines together; what is no answer, such as talk of a library, is passed over."""
    found: dict[str, object] = {}
    count = 0
    for line in text.splitlines():
        try:
            part = SelfTestAnswer.model_validate_json(line)
        except ValidationError:
            continue
        count += 1
        found |= {name: getattr(part, name) for name in part.model_fields_set}
    if not words and count < expected:
        words = f"unreadable answer {_last_line(text)!r:.80}"
    answer = SelfTestAnswer.model_validate(found)
    return answer.model_copy(update={"broke": _broken(words).broke if words else ""})


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _broken(words: str) -> SelfTestAnswer:
    return SelfTestAnswer(broke=f"torch in a process of its own: {words}")
