"""How headers are refused: in one line, with a hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from qprobe.checkpoint.headers import read_headers
from qprobe.errors import InputError


def refusal(directory: Path) -> str:
    """The message and the hint with which a directory is refused, checked for their form."""
    with pytest.raises(InputError) as caught:
        read_headers(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 800
    assert caught.value.hint
    return f"{message} | {caught.value.hint}"
