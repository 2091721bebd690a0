"""A process that answers a question does not outlive the one that asked, where the system can see to that."""

import ctypes
import subprocess
import sys
import time

import pytest

from qprobe import _lifetime

ASK = """
import subprocess, sys
code = "from qprobe._lifetime import die_with_parent; die_with_parent(); import time; print('on', flush=True); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", code])
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends it")
def test_it_ends_with_the_one_that_asked():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", ASK], **pipes) as asking:
        assert asking.stdout.readline() == b"on\n"
        asking.kill()
        start = time.monotonic()
        assert asking.stdout.read() == b"", "the end comes when nobody holds the pipe"
        assert time.monotonic() - start < 30


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_other_systems_are_not_asked(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("asked"))
    _lifetime.die_with_parent()
