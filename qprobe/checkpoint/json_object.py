"""Parses JSON that nobody vouches for: one object, no surprises, bounded."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic_core import from_json

from qprobe.errors import InputError

MAX_JSON_BYTES = 100 * 2**20
"""Also the limit of the safetensors library for a header."""


def read_json_object(path: Path) -> dict[str, object]:
    """Read a file that holds one JSON object; raises InputError naming the file."""
    try:
        if not path.is_file():
            found = "is not a regular file" if path.exists() else "does not exist"
            raise InputError(f"{path} {found}", "give a directory with a complete checkpoint")
        if path.stat().st_size > MAX_JSON_BYTES:
            limit = MAX_JSON_BYTES // 2**20
            raise InputError(
                f"{path} is larger than {limit} MiB", "give the file that came with the checkpoint"
            )
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", "check the permissions"
        ) from error
    return parse_json_object(data, str(path))


def parse_json_object(data: bytes, source: str) -> dict[str, object]:
    """Parse one JSON object; `source` names it in errors.

    Raises InputError where it is not JSON (NaN, lone surrogates and nesting beyond 200 included),
    is something else than an object, or has a name twice in one object.
    """
    hint = "download or convert the checkpoint again"
    try:
        # The first parser is strict about depth and text but keeps the last of two equal names;
        # the second one lets us see both.
        from_json(data, allow_inf_nan=False)
        content = json.loads(data.decode(), object_pairs_hook=_without_duplicates)
    except ValueError as error:
        raise InputError(f"{source} is not valid JSON: {error!s:.200}", hint) from error
    if not isinstance(content, dict):
        raise InputError(f"{source} holds a JSON {type(content).__name__}, not an object", hint)
    return content


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twice!r:.100} is there twice in one object")
    return content
