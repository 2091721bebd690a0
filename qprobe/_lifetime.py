"""Ends the processes that qprobe starts together with it."""

from __future__ import annotations

import ctypes
import signal
import sys
from contextlib import suppress


def die_with_parent() -> None:
    """Have Linux kill this process when the one that started it is gone; nothing elsewhere."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
