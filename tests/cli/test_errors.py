"""Whatever goes wrong ends in one line, a hint, and the status that the contract says."""

from __future__ import annotations

import pytest

import qprobe.flow.plan
import qprobe.flow.probe
from qprobe.errors import (
    InfeasibleError,
    InputError,
    PlanMismatchError,
    QprobeError,
    UnavailableError,
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nonsense",),
        ("nonsense",),
        ("plan", "--nonsense"),
        ("plan",),
        ("plan", "--model"),
        ("plan", "--model", "x", "--batch", "0"),
        ("plan", "--model", "x", "--batch", "x"),
        ("plan", "--model", "x", "--generate", "-1"),
        ("plan", "--model", "x", "--max-error", "0"),
        ("plan", "--model", "x", "--max-error", "nan"),
        ("plan", "--model", "x", "--memory", "much"),
        ("plan", "--model", "x", "--measure", "sometimes"),
        ("plan", "--model", "/missing/model"),
        ("plan", "--model", "x", "--profile", "/missing", "--device", "cpu"),
        ("plan", "--model", "x", "--sensitivity", "/missing", "--calibrate", "none"),
        ("bench", "--shape", "0x4"),
        ("bench", "--shape", "4"),
        ("bench", "--shape", "4x4", "--model", "x"),
        ("bench", "--m", "1,,2"),
        ("bench", "--m", "0"),
        ("bench", "--m", "99999999"),
        ("bench", "--device", "tpu"),
        ("doctor", "--json", "--markdown"),
        ("doctor", "--machine", "/missing.json"),
        ("doctor", "--machine", "/"),
        ("explain",),
        ("explain", "/missing.json"),
        ("verify", "--model", "x"),
        ("verify", "--model", "x", "--plan", "/missing.json"),
        ("probe", "-o", "/missing/folder/x.json"),
        ("probe", "-o", "/"),
        ("plan", "--model", "x", "--html", "/missing/folder/x.html"),
    ],
    ids=" ".join,
)
def test_wrong_input_ends_in_one_line_with_a_hint(run, arguments):
    result = run(*arguments)
    lines = result.stderr.splitlines()
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    assert len(lines) == 2
    assert lines[0].startswith("qprobe: ")
    assert lines[1].startswith("hint: ")


@pytest.mark.parametrize("name", ["quantize", "merge", "export"])
def test_what_is_not_built_is_no_command(run, name):
    assert run(name).exit_code == 2


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (InputError, 2),
        (PlanMismatchError, 2),
        (InfeasibleError, 1),
        (UnavailableError, 3),
        (QprobeError, 3),
    ],
)
def test_each_error_has_its_status(run, monkeypatch, kind, status):
    def fail():
        raise kind("asked this,\nfound \x1b[31mthat", "do so")

    monkeypatch.setattr(qprobe.flow.probe, "probe", fail)
    result = run("probe")
    assert result.exit_code == status
    assert result.stderr == "qprobe: asked this, found \\x1b[31mthat\nhint: do so\n"


def test_a_bug_is_one_line_and_a_traceback_only_when_asked(run, monkeypatch):
    def fail():
        raise ValueError("broken")

    monkeypatch.setattr(qprobe.flow.probe, "probe", fail)
    quiet, verbose = run("probe"), run("probe", "-v")
    assert (quiet.exit_code, verbose.exit_code) == (3, 3)
    line = "qprobe: internal error: ValueError: broken; run again with -v for the traceback\n"
    assert quiet.stderr == line
    assert "Traceback" in verbose.stderr
    assert verbose.stderr.endswith("qprobe: internal error: ValueError: broken\n")
