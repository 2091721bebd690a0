"""Lays out text, tables and lists for a given width, and returns one string."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

DEFAULT_WIDTH = 80
LEAST_COLUMNS = 12
"""Of a column of words in a table: narrower ones are hard to read."""
_GAP = 2
"""Columns between two of a table."""

_ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "–": "-", "×": "x", "·": ".", "…": "...", "µ": "u", "±": "+-", "‖": "||",
     "−": "-", "≤": "<=", "≥": ">=", "→": "->", "─": "-", "²": "^2", "—": "-", "≈": "~"}
)  # fmt: skip


def printable(text: str) -> str:
    r"""The text with everything that could steer a terminal written out, as \x1b; newlines stay.

    Names come from files that strangers wrote: escapes, controls, bidi overrides and surrogates.
    """
    return "".join(
        character
        if character == "\n" or unicodedata.category(character) not in _UNSAFE
        else character.encode("unicode_escape").decode("ascii")
        for character in text.expandtabs(4)
    )


_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def to_encoding(text: str, encoding: str) -> str:
    """The text as the encoding can hold it, our own signs by their nearest ASCII."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII)
    return text.encode(encoding, "replace").decode(encoding)


def words(text: str, style: str = "") -> Text:
    """Text that is shown as it is: no markup, no emoji codes, no escapes."""
    return Text(printable(text), style=style, overflow="fold")


def one_line(text: str) -> str:
    """The text with its line breaks as spaces."""
    return " ".join(text.split())


def indent(block: RenderableType, columns: int) -> Padding:
    """The block, moved to the right."""
    return Padding(block, (0, 0, 0, columns))


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Sequence[int] = (),
    firm: Sequence[int] = (),
) -> RenderableType:
    """A table without frames, or, where it has no room, a block of names and values for each row.

    The columns in `right` hold figures, which never break; those in `firm` stay whole where there is room,
    the first of them first.
    """
    return _Fitted(tuple(headers), tuple(map(tuple, rows)), tuple(right), tuple(firm))


@dataclass(frozen=True, slots=True)
class _Fitted:
    """Decides by the width that it is given, which cuts off what has no room in a table."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...]
    firm: tuple[int, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = [max(map(_width, column)) for column in zip(self.headers, *self.rows, strict=True)]
        least = [
            width if index in self.right else min(width, LEAST_COLUMNS)
            for index, width in enumerate(widths)
        ]
        room = options.max_width - sum(least) - _GAP * (len(widths) - 1)
        if room < 0:
            yield from self._blocks()
            return
        whole = set(self.right)
        for index in self.firm:
            if widths[index] - least[index] <= room:
                room -= widths[index] - least[index]
                whole.add(index)
        yield self._table(whole)

    def _table(self, whole: Container[int]) -> Table:
        built = Table(
            box=box.SIMPLE_HEAD,
            header_style="bold",
            show_edge=False,
            pad_edge=False,
            padding=(0, _GAP - 1, 0, 0),  # and a column for the frame that is not drawn
        )
        for index, header in enumerate(self.headers):
            built.add_column(
                words(header),
                justify="right" if index in self.right else "left",
                no_wrap=index in whole,
                overflow="fold",
                vertical="top",
            )
        for row in self.rows:
            built.add_row(*(words(cell) for cell in row))
        return built

    def _blocks(self) -> Iterator[RenderableType]:
        for row in self.rows:
            yield pairs((name, cell) for name, cell in zip(self.headers, row, strict=True) if cell)
            yield words("")


def _width(cell: str) -> int:
    return max(map(cell_len, printable(cell).split("\n")))


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and what they are, one below the other."""
    built = Table.grid(padding=(0, 2, 0, 0))
    built.add_column(no_wrap=True)
    built.add_column(overflow="fold", ratio=1)
    for name, value in rows:
        built.add_row(words(name, "bold"), words(value))
    return built


def bullets(lines: Iterable[str], mark: str = "–") -> Table:
    """One line each behind a mark, wrapped under itself."""
    built = Table.grid(padding=(0, 1, 0, 0))
    built.add_column(no_wrap=True)
    built.add_column(overflow="fold", ratio=1)
    for line in lines:
        built.add_row(words(mark), words(line))
    return built


def render(
    blocks: Sequence[RenderableType], width: int = DEFAULT_WIDTH, color: bool = False
) -> str:
    """The blocks below one another, no line longer than `width` columns, ending in a newline."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        height=100,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        force_jupyter=False,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(Group(*blocks))
    lines = [line.rstrip() for line in file.getvalue().split("\n")]
    return "\n".join(lines).strip("\n") + "\n"
