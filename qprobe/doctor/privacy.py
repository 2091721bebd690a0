"""Leaves out of a document who somebody is: user names, home folders, hosts, serial numbers."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from qprobe.documents.base import TopDocument

T = TypeVar("T", bound=TopDocument)

HOME, USER, HOST, SERIAL = "~", "<user>", "<host>", "<serial>"
_ANY_HOME = re.compile(
    r"(?:/home/|/Users/|/root\b|[A-Za-z]:\\Users\\)(?:(?<=[/\\])[^/\\\s:'\",;)]+)?"
)
_SERIAL = re.compile(
    r"\b(?:GPU-|MIG-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE
)
_COMMON = {"root", "user", "localhost", "nobody", "ubuntu", "admin", "runner", "cpu", "cuda"}
"""Names that say nothing about anybody, some of which are words of ours."""
_SHORTEST = 3
_OURS = frozenset(
    {"id", "status", "method", "device", "verdict", "evidence", "outcome", "kind", "slug", "document",
     "activation_dtype", "unquantized_dtype", "created_utc", "qprobe_version", "features", "packages"}
)  # fmt: skip
"""Fields that hold words of ours: a user may be called as one of them."""


def leave_out_persons(document: T) -> T:
    """The document with such words replaced in every text that came from the system."""
    dumped = document.model_dump(mode="json")
    return type(document).model_validate_json(_to_json(_clean(dumped, tuple(_replacements()))))


def _to_json(value: Any) -> str:
    import json

    return json.dumps(value)


def _replacements() -> Iterator[tuple[re.Pattern[str], str]]:
    homes = {os.environ.get("HOME", ""), os.environ.get("USERPROFILE", "")}
    with suppress(RuntimeError):
        homes.add(str(Path.home()))
    for home in sorted(homes, key=len, reverse=True):
        if len(home) > _SHORTEST:
            yield re.compile(rf"(?<![\w.-]){re.escape(home)}(?![\w-])"), HOME
    yield _ANY_HOME, HOME
    yield _SERIAL, SERIAL
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")}
    with suppress(OSError, KeyError, ImportError):
        users.add(getpass.getuser())
    for names, instead in ((users, USER), ({socket.gethostname()}, HOST)):
        for name in sorted(names):
            if len(name) >= _SHORTEST and name.lower() not in _COMMON:
                yield re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])"), instead


def _clean(value: Any, replacements: tuple[tuple[re.Pattern[str], str], ...]) -> Any:
    match value:
        case str():
            return reduce(lambda text, pair: pair[0].sub(pair[1], text), replacements, value)
        case list():
            return [_clean(item, replacements) for item in value]
        case dict():
            return {
                key: item if key in _OURS else _clean(item, replacements)
                for key, item in value.items()
            }
        case _:
            return value
