"""What goes to stdout and into files: the document, or the page for people."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qprobe.errors import QprobeError

if TYPE_CHECKING:
    from qprobe.documents.base import TopDocument

_WIDEST = 120
_NARROWEST = 40

Page = Callable[[int, bool], str]
"""From columns and whether there is colour to text."""


def answer(document: TopDocument, page: Page, as_json: bool, output: Path | None) -> None:
    """Write the document to `output` if that is given, then print it or its page.

    The file comes first, because a reader may leave; a file that cannot be written is told after the
    answer was printed, because the answer may have taken an hour.
    """
    from qprobe.documents.files import save_document, to_json

    failure: QprobeError | None = None
    if output is not None:
        try:
            save_document(document, output)
        except QprobeError as error:
            failure = error
    put(to_json(document) if as_json else page(_columns(), _has_color()))
    if failure is not None:
        raise failure


def put(text: str) -> None:
    """Print on stdout as its encoding allows; quiet where the reader has left."""
    from qprobe.render.page import to_encoding

    fitting = to_encoding(text, getattr(sys.stdout, "encoding", None) or "utf-8")
    try:
        # By the line: unbuffered, Python drops what one long write left over, without a word.
        sys.stdout.writelines(fitting.splitlines(keepends=True))
        sys.stdout.flush()
    except OSError as error:
        abandon_stdout()
        if error.errno != errno.EPIPE:
            raise QprobeError(
                f"cannot write to stdout: {error.strerror}", "free some space"
            ) from error


def abandon_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's own flush at exit succeeds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _columns() -> int:
    return min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)


def _has_color() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
