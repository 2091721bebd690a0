"""A process that answers in lines of JSON, and may crash or hang without harm to its parent."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent
MARK = "@@ "
"""Before every line that is an answer: packages print what they like."""


def answer(line: Mapping[str, Any]) -> None:
    """What the process calls to answer."""
    sys.stdout.write(f"\n{MARK}{json.dumps(line)}\n")
    sys.stdout.flush()


class Worker:
    """`python -m module`, which gets one request as a line and answers until it ends."""

    def __init__(self, module: str, request: Mapping[str, Any]) -> None:
        """Start it; it runs beside us until the `with` ends."""
        self.timed_out_s: float | None = None
        self._errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - closed on exit
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.close()

    def read(self, limit_s: float) -> dict[str, Any] | None:
        """The next answer, or None where it has ended or said nothing for `limit_s`."""
        try:
            text = self._lines.get(timeout=limit_s)
        except queue.Empty:
            self.timed_out_s = limit_s
            self._process.kill()
            return None
        return None if text is None else dict(json.loads(text))

    @property
    def epitaph(self) -> str:
        """Why it ended; "" if it ended well."""
        if self.timed_out_s is not None:
            return f"took longer than {self.timed_out_s:g} s"
        code = self._process.wait()
        if code == 0:
            return ""
        self._errors.seek(0)
        last = ([""] + [line.strip() for line in self._errors if line.strip()])[-1]
        died = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"the process {died}: {last:.200}" if last else f"the process {died}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _listen(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                if line.startswith(MARK):
                    self._lines.put(line[len(MARK) :])
        self._lines.put(None)
