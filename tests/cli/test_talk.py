from __future__ import annotations

import sys
import time

import pytest

from qprobe.cli.talk import say, watch


def test_off_a_terminal_progress_is_sparse(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with watch() as progress:
        for share in (0.1, 0.5, 0.6):
            progress("timing", share)
    captured = capsys.readouterr()
    assert captured.err == "50 % timing\n"
    assert captured.out == ""


def test_on_a_terminal_it_is_a_bar_on_stderr(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with watch() as progress:
        progress("timing [red]x[/red]", 0.5)
    captured = capsys.readouterr()
    assert "timing [red]x[/red]" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("text", ["a\nb", "a \r\n b"])
def test_what_is_said_is_one_line(capsys, text):
    say(text)
    assert capsys.readouterr().err == "a b\n"


def test_what_is_said_cannot_steer_the_terminal(capsys):
    say("\x1b[2J\u202e")
    assert capsys.readouterr().err == "\\x1b[2J\\u202e\n"
