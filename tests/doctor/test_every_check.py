"""What holds for every check on every machine; a new one of either is tried by itself."""

from __future__ import annotations

import re
import shlex
import subprocess

import click
import pytest
from packaging.requirements import Requirement

from qprobe.cli.commands import qprobe
from qprobe.doctor import list_checks, run_checks
from tests.doctor.machines import NAMES, load, measured

# A status mark and its spaces take eight columns of eighty.
COLUMNS = 72
PROGRAMS = {
    "pip", "qprobe", "export", "unset", "apt-get", "python", "nvidia-smi", "qprobe-env/bin/pip",
}  # fmt: skip
"""The last is pip in the environment that the command before it makes."""


MEASURED = tuple(f"{name} measured" for name in ("epyc_avx2", "gtx_1660", "h100_cu13"))


@pytest.fixture(scope="module", params=(*NAMES, *MEASURED))
def findings(request):
    name, *as_if = request.param.split()
    return run_checks(measured(name) if as_if else load(name))


def test_answers_every_check(findings):
    assert [finding.id for finding in findings] == [check.id for check in list_checks()]


def test_never_crashes(findings):
    assert [finding.detail for finding in findings if finding.status == "crash"] == []


def test_says_what_to_do_exactly_where_something_is_wrong(findings):
    for finding in findings:
        assert (finding.fix is not None) == (finding.status in ("warn", "fail")), finding


def test_summary_fits_on_one_line_beside_the_title(findings):
    titles = max(len(check.title) for check in list_checks())
    for finding in findings:
        assert finding.summary
        assert "\n" not in finding.summary
        assert titles + len(finding.summary) <= COLUMNS, finding.summary


def commands_in(findings):
    return [command for finding in findings if finding.fix for command in finding.fix.commands]


def test_commands_begin_with_a_program_that_is_known(findings):
    for command in commands_in(findings):
        assert shlex.split(command)[0] in PROGRAMS, command


def test_commands_hold_nothing_to_fill_in(findings):
    """A shell variable that is not set stops the shell with what is missing, which is allowed."""
    for command in commands_in(findings):
        bare = re.sub(r"\$\{[A-Z]+:\?[^}]+\}", "", command)
        assert not re.search(r"<[a-zA-Z]|\.\.\.|…|\n", bare), command
        if shlex.split(command)[0] in ("qprobe", "pip"):
            assert not re.search(r"\b[A-Z]{2,}\b", bare), command


def test_a_shell_can_read_the_commands(findings):
    script = "\n".join(commands_in(findings))
    read = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


def test_pip_and_qprobe_are_asked_for_what_they_have(findings):
    for command in commands_in(findings):
        program, *words = shlex.split(command)
        if program == "qprobe":
            assert qprobe.get_command(click.Context(qprobe), words[0]), command
        if program.endswith("pip") and words[0] == "install":
            options = {"--index-url": 2, "--upgrade": 1, "--force-reinstall": 1}
            words = words[1:]
            while words:
                if words[0] in options:
                    words = words[options[words[0]] :]
                else:
                    Requirement(words.pop(0))


@pytest.mark.parametrize("check", list_checks(), ids=lambda check: check.id)
def test_check_introduces_itself(check):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", check.id)
    assert check.title
    assert check.why


@pytest.mark.parametrize("check", list_checks(), ids=lambda check: check.id)
def test_no_check_touches_the_machine_that_it_runs_on(check, monkeypatch):
    def touched(*args, **kwargs):
        raise AssertionError("a check may read its document only")

    machine = load("v100_old_peft")
    for name in ("os.getenv", "subprocess.run", "pathlib.Path.read_text", "builtins.open"):
        monkeypatch.setattr(name, touched)
    check.run(machine)
