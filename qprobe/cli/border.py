"""Where every error becomes a line, a hint and an exit status."""

from __future__ import annotations

import traceback

import click

from qprobe.cli.answer import abandon_stdout
from qprobe.cli.talk import say
from qprobe.errors import QprobeError

INTERRUPTED = 130
FAILED = 3
WRONG_INPUT = 2


def run_guarded(group: click.Group, arguments: list[str]) -> int:
    """Run a command line; returns the exit status, having told on stderr what went wrong."""
    verbose = "-v" in arguments or "--verbose" in arguments
    try:
        return _run(group, arguments)
    except QprobeError as error:
        _tell(str(error), error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        _tell("interrupted", "")
        return INTERRUPTED
    except BrokenPipeError:  # `qprobe --help | true`; answers are guarded where they are printed
        abandon_stdout()
        return 0
    except Exception as error:
        if verbose:
            traceback.print_exc()
        hint = "" if verbose else "; run again with -v for the traceback"
        _tell(f"internal error: {type(error).__name__}: {error}{hint}", "")
        return FAILED


def _run(group: click.Group, arguments: list[str]) -> int:
    try:
        with group.make_context("qprobe", arguments) as ctx:
            return group.invoke(ctx) or 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "qprobe"
        _tell(error.format_message(), f"see {command} --help")
        return WRONG_INPUT
    except click.ClickException as error:
        _tell(error.format_message(), "")
        return WRONG_INPUT


def _tell(message: str, hint: str) -> None:
    say(f"qprobe: {message}")
    if hint:
        say(f"hint: {hint}")
