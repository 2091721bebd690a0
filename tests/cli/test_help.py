from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qprobe._version import __version__
from qprobe.cli.commands import COMMANDS

HEAVY = ("torch", "numpy", "scipy", "pydantic", "rich", "jinja2", "transformers")


def test_help_takes_less_than_a_fifth_of_a_second():
    def seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-m", "qprobe", "--help"], check=True, capture_output=True)
        after = os.times()
        user = after.children_user - before.children_user
        return user + after.children_system - before.children_system

    # Processor time, and the best of several: the neighbours on the machine are not measured.
    assert min(seconds() for _ in range(5)) < 0.2


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_loads_nothing_heavy(arguments):
    script = (
        "import sys\nfrom qprobe.cli import main\n"
        "try: main()\nexcept SystemExit as done: assert done.code == 0\n"
        f"loaded = {HEAVY} and [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)


def test_lists_what_is_there_and_nothing_else(run):
    listed = run("--help").output.split("Commands:")[1].split("Exit status")[0]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == list(COMMANDS)


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_fits_80_columns_and_says_it_all(run, command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "..." not in result.output.replace("]...", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_json_output_and_verbose(run, command):
    text = run(command, "--help").output
    assert all(option in text for option in ("--json", "-o, --output", "-v, --verbose"))


def test_the_version(run):
    assert run("--version").output == f"qprobe {__version__}\n"


def test_without_a_command_the_help_goes_to_stderr(run):
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Commands:" in result.stderr
