"""Where what was measured is kept between runs. A cache file that cannot be used is measured again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from qprobe.documents.base import TopDocument
from qprobe.documents.files import load_document, save_document
from qprobe.errors import InputError, QprobeError

T = TypeVar("T", bound=TopDocument)


def cache_folder(kind: str) -> Path:
    """The folder for a kind of document: under $QPROBE_CACHE, or the user's cache folder.

    For a user without a home it is one that cannot be made, as where the disk is read-only.
    """
    chosen = os.environ.get("QPROBE_CACHE")
    if chosen:
        return Path(chosen) / kind
    import platformdirs

    try:
        return Path(platformdirs.user_cache_dir("qprobe")) / kind
    except RuntimeError:  # neither HOME nor an entry among the system's users
        return Path(os.devnull) / "qprobe" / kind


def list_kept(kind: str, pattern: str) -> list[Path]:
    """The files of a kind, by name; none where the folder is closed to this user."""
    try:
        return sorted(cache_folder(kind).glob(pattern))
    except OSError:
        return []


def recall(kind: type[T], name: str) -> T | None:
    """The document kept under a name, or None where there is none that can be read."""
    path = cache_folder(kind.__name__.lower()) / f"{name}.json"
    try:
        return load_document(kind, path) if path.is_file() else None
    except (InputError, OSError):
        return None


def remember(document: TopDocument, name: str) -> Path | None:
    """Keep a document under a name; None where the folder cannot be written."""
    folder = cache_folder(type(document).__name__.lower())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_document(document, folder / f"{name}.json")
    except (OSError, QprobeError):
        return None
    return folder / f"{name}.json"
