"""Runs the self-test in a process of its own, where a crash or an endless loop is only a fact."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from qprobe.documents.base import Document
from qprobe.documents.machine import Int8SelfTest, Rate

COMMAND = (sys.executable, "-m", "qprobe.probe.self_test")
LIMIT_S = 60.0  # importing torch from a cold disk alone can take half of it


class SelfTestAnswer(Document):
    """What was found; None: not tested."""

    int8: Int8SelfTest | None
    bf16_speed_ratio: Rate | None


def run_self_test(command: Sequence[str] = COMMAND, limit_s: float = LIMIT_S) -> SelfTestAnswer:
    """Start the test, wait at most `limit_s`, and read its answer; never raises for its death."""
    # The checkout may not be installed, and the current folder may hold files named like modules.
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONSAFEPATH": "1",
    }
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return _failed(f"no answer within {limit_s:g} s")
    except OSError as error:
        return _failed(f"{command[0]}: {error.strerror}")
    if done.returncode < 0:
        return _failed(f"ended by {signal.Signals(-done.returncode).name}")
    if done.returncode > 0:
        return _failed(_last_line(done.stderr) or f"ended with status {done.returncode}")
    try:
        return SelfTestAnswer.model_validate_json(_last_line(done.stdout))
    except ValidationError:
        return _failed(f"unreadable answer {_last_line(done.stdout)!r:.80}")


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _failed(words: str) -> SelfTestAnswer:
    words = f"the self-test in a process of its own: {words}"
    test = Int8SelfTest(outcome="failed", worst_relative_error=None, words=words)
    return SelfTestAnswer(int8=test, bf16_speed_ratio=None)
