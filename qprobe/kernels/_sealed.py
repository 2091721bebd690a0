"""Machine code kept on disk, with a seal at its end: what was cut or damaged is never run."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

MARK = b"\nqprobe seal 1\n"


def read_sealed(path: Path) -> bytes | None:
    """The code in a file; None where there is none, or it is not as it was written. Reads the disk."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    seal = len(_seal(b""))
    code = content[:-seal]
    return code if content[-seal:] == _seal(code) else None


def write_sealed(path: Path, code: bytes) -> None:
    """Write to a temporary name and rename: two processes may be at it. Raises OSError.

    The disk has all of it before the name is given: after a loss of power there is the whole file, or none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        made = Path(folder) / path.name
        with made.open("wb") as file:
            file.write(code + _seal(code))
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)


def _seal(code: bytes) -> bytes:
    return MARK + hashlib.sha256(code).digest()
