"""`python -m tests.machine_code` shows what the machine code of kernels is, and what is wrong with it."""

import pytest

from tests.machine_code import __main__
from tests.machine_code.planted import plant


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The command, where a good kernel and a bad one are all that there is."""
    kernels = {
        "good": plant(tmp_path, name="good", architectures='["8.0", "9.0"]'),
        "bad": plant(tmp_path, name="bad", architectures='["8.0"]', REGISTERS=16),
    }
    monkeypatch.setattr(__main__, "find_kernels", lambda: kernels)
    return __main__.print_kernels


def test_the_command_shows_every_build_and_its_loops(planted, capsys):
    assert planted(["good"], None, loops=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1] if "loop" not in line] == [
        "good-8.0-cuda13",
        "good-9.0-cuda13",
    ]
    assert lines[-1] == "2 builds were judged; 0 complaints; 8 builds were not judged"
    assert any(line.startswith("  loop ") and "IDP.4A.S8.S8 8" in line for line in lines)
    assert planted(["good"], "8.0", loops=False) == 0
    assert "9.0" not in capsys.readouterr().out


def test_the_command_says_what_is_wrong(planted, capsys):
    assert planted([], None, loops=False) == 1
    out = capsys.readouterr().out
    *_, wrong, total = out.splitlines()
    assert "registers, more than 16" in wrong
    assert wrong.startswith("bad-8.0-cuda13: it takes ")
    assert total.startswith("3 builds were judged; 1 complaints; ")
    assert planted(["ugly"], None, loops=False) == 2
    assert "no kernel ugly: there are good, bad" in capsys.readouterr().err


def test_the_command_judges_what_is_not_listed_if_asked(planted, capsys):
    assert planted(["good"], None, loops=False, everywhere=True) == 0
    out = capsys.readouterr().out
    assert "good-8.6-cuda13" in out
    assert out.splitlines()[-1] == "10 builds were judged; 0 complaints; 0 builds were not judged"
