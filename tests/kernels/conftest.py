"""A file system of its own for what reads the system."""

from __future__ import annotations

import pytest


@pytest.fixture
def plant(tmp_path):
    """Write files below a root of their own; returns the root."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write
