"""Documents to files and back. Writing is all or nothing; reading refuses with one clear line."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from qprobe.documents.base import TopDocument
from qprobe.errors import InputError, QprobeError

MAX_DOCUMENT_BYTES = 256 * 2**20

T = TypeVar("T", bound=TopDocument)


def to_json(document: TopDocument) -> str:
    """The document as people and programs read it, ending in a newline."""
    return document.model_dump_json(indent=2) + "\n"


def write_text(text: str, path: Path | str) -> None:
    """Write to a temporary name in the same folder, then rename: never half a file.

    A file keeps its mode and the links to it; what is no file, as a pipe or a device, is written to.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode & 0o777 if target.exists() else None
        handle, temporary = tempfile.mkstemp(prefix=".qprobe-", suffix=".tmp", dir=target.parent)
    except OSError as error:
        raise QprobeError(
            f"cannot write {path}: {error.strerror}", "choose a folder that can be written"
        ) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if mode is None:
            umask = os.umask(0)
            os.umask(umask)
            mode = 0o666 & ~umask
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except OSError as error:
        raise QprobeError(
            f"cannot write {path}: {error.strerror}; nothing was changed", "free some space"
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def save_document(document: TopDocument, path: Path | str) -> None:
    """Write a document as JSON, all or nothing."""
    write_text(to_json(document), path)


def load_document(kind: type[T], path: Path | str) -> T:
    """Read a document of the given kind; raises InputError naming the file and the field."""
    return parse_document(kind, _read(Path(path), kind.__name__.lower()), str(path))


def _read(path: Path, noun: str) -> bytes:
    """At most the limit and one byte more: some files have no end and tell no size."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read the {noun} {path}: {words}", "check the path") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InputError(
            f"{path} is larger than {MAX_DOCUMENT_BYTES // 2**20} MiB: not a {noun}",
            f"give a {noun} that qprobe wrote",
        )
    return data


def parse_document(kind: type[T], data: bytes | str, source: str) -> T:
    """Validate JSON as a document; `source` names it in errors."""
    noun = kind.__name__.lower()
    hint = f"give a {noun} that this version of qprobe wrote"
    try:
        content = from_json(data)
    except ValueError as error:
        raise InputError(f"{source} is not JSON: {error}", hint) from error
    if not isinstance(content, dict):
        raise InputError(f"{source} holds a {type(content).__name__}, not a {noun}", hint)
    found = content.get("document")
    if found is not None and found != noun:
        raise InputError(f"{source} is a {found!r:.40}, not a {noun}", hint)
    version = content.get("schema_version")
    if version != 1:
        raise InputError(f"{source} has schema_version {version!r:.40}; this qprobe reads 1", hint)
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise InputError(f"{source} is not a valid {noun}: {_first(error)}", hint) from error


def _first(error: ValidationError) -> str:
    """The first complaint, named by its field, and how many more there are."""
    details = error.errors(include_url=False, include_context=False)
    where = ".".join(str(part) for part in details[0]["loc"]) or "document"
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    message = details[0]["msg"].removeprefix("Value error, ")
    return " ".join(f"{where}: {message}{more}".split())[:500]
