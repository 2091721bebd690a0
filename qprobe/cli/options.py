"""The options that several commands share, and how their values are checked before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def answer_options(command: Command) -> Command:
    """--json, -o and -v, as every command has them."""
    command = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        help="Show tracebacks of internal errors.",
    )(command)
    command = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        callback=require_folder,
        metavar="F",
        help="Also write the document to this file.",
    )(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the document as JSON and nothing else."
    )(command)


def device_option(command: Command) -> Command:
    """--device, without a default: the flow picks the first GPU, else the CPU."""
    return click.option(
        "--device", metavar="D", help="cpu or cuda:N.  [default: the first GPU, else the CPU]"
    )(command)


def html_option(command: Command) -> Command:
    """--html, which is refused at once where it could not be written at the end."""
    return click.option(
        "--html",
        type=click.Path(path_type=Path),
        callback=require_page,
        metavar="F",
        help="Also write a self-contained HTML page.",
    )(command)


def input_file(**attributes: Any) -> dict[str, Any]:
    """The attributes of an option that names a document to read."""
    return {"type": click.Path(path_type=Path), "metavar": "F", **attributes}


def require_folder(
    _ctx: click.Context, parameter: click.Parameter, value: Path | None
) -> Path | None:
    """Refuse a file that could not be written, before an hour is spent on what goes into it."""
    if value is None:
        return None
    try:
        if value.is_dir():
            raise click.BadParameter(f"{value} is a directory, not a file", param=parameter)
        if not value.parent.is_dir():
            raise click.BadParameter(f"there is no folder {value.parent}", param=parameter)
    except OSError as error:
        words = f"{value} cannot be written: {error.strerror}"
        raise click.BadParameter(words, param=parameter) from error
    return value


def require_page(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Refuse --html where it cannot be written, or where jinja2 is missing."""
    if value is not None:
        from qprobe.render.html import require_html

        require_html()
    return require_folder(ctx, parameter, value)
