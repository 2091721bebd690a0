from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest
from click.testing import CliRunner, Result

from qprobe.cli.commands import qprobe

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """The command line in this process."""
    return lambda *arguments: CliRunner().invoke(qprobe, [str(item) for item in arguments])


@pytest.fixture
def start(tmp_path) -> Callable[..., subprocess.Popen[str]]:
    """The command line in a process of its own, after some lines of Python that fake its flow."""

    def begin(arguments: Sequence[object], fake: str = "", **how) -> subprocess.Popen[str]:
        script = f"{fake}\nfrom qprobe.cli import main\nmain()\n"
        command = [sys.executable, "-c", script, *(str(item) for item in arguments)]
        fields = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "encoding": "utf-8",
            "env": os.environ | {"QPROBE_CACHE": str(tmp_path / "cache"), "COLUMNS": "80"},
        }
        # Started in the background, a shell has its children ignore the signal.
        fields["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
        return subprocess.Popen(command, **fields | how)

    return begin
