"""Reads the lines `//: ` at the head of a `.cu` file, and says in words what is wrong with them."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from qprobe.errors import InputError

MARK = "//:"
ALL, EACH = "(all)", "(each)"
"""Where a table may be one for all architectures or one for each: pydantic's names for the two."""
HINT = "kernels/README.md says how a kernel describes itself"


@dataclass(frozen=True)
class Head:
    """The table that a source begins with, and where its lines stand in the file."""

    content: dict[str, Any]
    lines: tuple[tuple[int, str], ...]


def read_head(source: str, file: str) -> Head:
    """The table at the head of a source; raises InputError with the line that is no TOML."""
    lines = _find_lines(source, file)
    try:
        return Head(tomllib.loads("\n".join(text for _, text in lines)), tuple(lines))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file}: {_place(str(error), lines)}", HINT) from None


def explain(detail: ErrorDetails, head: Head, known: Callable[[list[str]], tuple[str, ...]]) -> str:
    """One of pydantic's complaints in one clause, with the line of the key and the nearest right name.

    `known` gives the keys that are allowed inside of others.
    """
    keys = [str(key) for key in detail["loc"] if key not in (ALL, EACH)]
    if not keys:
        return detail["msg"].removeprefix("Value error, ")
    numbers = [n for n, text in head.lines if re.search(rf'(?<![\w"]){re.escape(keys[0])}\b', text)]
    where = f"line {numbers[0]}: " if numbers else ""
    key = ".".join(keys)
    if detail["type"] == "missing":
        return f"{where}`{key}` is missing"
    if detail["type"] == "extra_forbidden":
        return f"{where}unknown key `{key}`{suggest(keys[-1], known(keys[:-1]))}"
    return f"{where}`{key}`: {detail['msg'].removeprefix('Value error, ')}, not {detail['input']!r}"


def suggest(word: str, known: tuple[str, ...]) -> str:
    """The end of a message on a wrong word: the nearest right one, and all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    meant = f"; did you mean `{near[0]}`?" if near else ""
    return f"{meant} (known are {', '.join(known)})"


def _find_lines(source: str, file: str) -> list[tuple[int, str]]:
    """Number and text of the lines of TOML; all lie before the first line of code."""
    lines: list[tuple[int, str]] = []
    in_code = False
    for number, line in enumerate(source.split("\n"), start=1):
        if line.startswith(MARK):
            if in_code:
                raise InputError(f"{file}: line {number}: `//:` after the first code", HINT)
            lines.append((number, line.removeprefix(MARK).strip()))
        in_code = in_code or not (line.startswith("//") or not line.strip())
    if not lines:
        raise InputError(f"{file}: no line begins with `//:`, so it says nothing of itself", HINT)
    return lines


def _place(message: str, lines: list[tuple[int, str]]) -> str:
    """The parser's words, with the line of the file for that of the manifest."""
    if found := re.search(r"at line (\d+), column \d+", message):
        number = lines[min(int(found[1]), len(lines)) - 1][0]
        return f"line {number}: {message.replace(found[0], 'here').replace(' (here)', '')}"
    return f"line {lines[-1][0]}: {message}"
