"""The list of the commands, each loaded when it is asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from qprobe._version import __version__
from qprobe.cli.border import run_guarded

COMMANDS = ("doctor", "probe", "bench", "plan", "explain", "verify")
"""Each is a module of this package, with the command under the module's own name."""


class Commands(click.Group):
    """Loads a command's module only when it is run or listed, and guards every exit."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; None tells click that there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"qprobe.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and exit with the status that the contract says; never with a traceback unasked."""
        arguments = list(sys.argv[1:] if args is None else args)
        sys.exit(run_guarded(self, arguments))


@click.group(
    cls=Commands,
    name="qprobe",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit status: 0 fine, 1 the answer is no, 2 wrong input, 3 could not run, 130 interrupted.",
)
@click.version_option(__version__, prog_name="qprobe", message="%(prog)s %(version)s")
@click.pass_context
def qprobe(ctx: click.Context) -> None:
    """Which quantization works on this machine, which to use for a model, and how sure that is."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)
