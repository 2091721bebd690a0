"""Finds the folder of C++ and CUDA sources, in a checkout, an editable and an installed package."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from qprobe.errors import UnavailableError

PACKAGE = Path(__file__).resolve().parent.parent
FOLDERS = ("bench", "kernels", "layers", "quantize", "timing")


def find_sources(package: Path = PACKAGE) -> Path:
    """The folder of sources that belongs to the package folder `package`.

    The checkout comes first: an editable install also copies the folder into the environment, and
    that copy goes stale. Raises UnavailableError where there is neither.
    """
    checkout = package.parent / "kernels"
    packaged = package / "_kernels"
    # Beside an installed package, a folder `kernels` is another distribution of that name.
    is_checkout = (package.parent / "pyproject.toml").is_file()
    if is_checkout and checkout.is_dir() and not (checkout / "__init__.py").exists():
        return checkout
    if packaged.is_dir():
        return packaged
    raise UnavailableError(
        f"no kernel sources for {package}: neither {checkout} nor {packaged} is a folder of them",
        "reinstall qprobe",
    )


def hash_sources(package: Path = PACKAGE) -> str:
    """SHA-256, 16 hex digits, of everything that decides how fast a layer runs and how that is measured.

    That is the C++ and CUDA sources and the Python of the folders in `FOLDERS`: a measurement made with
    other sources is not comparable. Reads the disk.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_sources(package)):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _sources(package: Path) -> Iterator[tuple[str, Path]]:
    """Every source file with a name that is the same wherever the package lies."""
    sources = find_sources(package)
    for pattern in ("*.cu*", "*.cpp", "*.h"):
        for path in sources.rglob(pattern):
            yield f"sources/{path.relative_to(sources).as_posix()}", path
    for folder in FOLDERS:
        for path in (package / folder).rglob("*.py"):
            yield path.relative_to(package).as_posix(), path
