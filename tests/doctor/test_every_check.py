"""What holds for every check on every machine; a new one of either is tried by itself."""

from __future__ import annotations

import re

import pytest

from qprobe.doctor import list_checks, run_checks
from tests.doctor.machines import NAMES, load, measured

# A status mark and its spaces take eight columns of eighty.
COLUMNS = 72


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


def test_commands_can_be_pasted(findings):
    for finding in findings:
        for command in finding.fix.commands if finding.fix else ():
            first = command.split()[0]
            known = "pip qprobe export unset apt-get python nvidia-smi"
            assert first in known.split()
            assert "\n" not in command


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
