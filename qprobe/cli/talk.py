"""What goes to stderr: talk and progress, never the answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from qprobe.timing.progress import Progress

_LINE_EVERY_S = 10.0


def say(message: str) -> None:
    """One line on stderr, with nothing in it that could steer the terminal."""
    line = " ".join(message.split())
    shown = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in line
    )
    with suppress(OSError):  # nobody listens, and there is nobody else to tell
        click.echo(shown.encode(_encoding(), "replace").decode(_encoding()), err=True)


@contextmanager
def watch() -> Iterator[Progress]:
    """A listener for progress: a bar on a terminal, elsewhere a line every ten seconds."""
    if sys.stderr.isatty():
        with _bar() as listener:
            yield listener
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from qprobe.render.page import printable

    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda message, share: progress.update(
            task, description=printable(message), completed=share
        )


def _lines() -> Progress:
    last = time.monotonic()

    def listen(message: str, share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            say(f"{100 * share:.0f} % {message}")

    return listen


def _encoding() -> str:
    return getattr(sys.stderr, "encoding", None) or "utf-8"
