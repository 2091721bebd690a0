"""Seconds by a GPU's own clock: events among the work that it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch


class Event(Protocol):
    """A point in a GPU's work, as torch has it."""

    def record(self) -> Any:
        """Put it behind the work that was given so far."""

    def synchronize(self) -> Any:
        """Wait until the GPU is there."""

    def elapsed_time(self, end_event: Any) -> Any:
        """Milliseconds from here to another."""


def _make_event() -> Event:
    return torch.cuda.Event(enable_timing=True)


class EventClock:
    """A clock for `Task`: its differences are seconds that the current GPU took for what lies between.

    Each reading waits for the GPU. Readings are summed up from one to the next, because an event
    tells milliseconds in 32 bits, which are not exact over minutes.
    """

    def __init__(self, make_event: Callable[[], Event] = _make_event) -> None:
        """Start at 0, now; `make_event` is for tests."""
        self._make_event = make_event
        self._total_s = 0.0
        self._last = self._mark()

    def __call__(self) -> float:
        """Seconds on the GPU since the beginning, when it has done all that it was given."""
        now = self._mark()
        self._total_s += float(self._last.elapsed_time(now)) / 1e3
        self._last = now
        return self._total_s

    def _mark(self) -> Event:
        event = self._make_event()
        event.record()
        event.synchronize()
        return event
