from __future__ import annotations

from tests.doctor.planted._steps import around


def eat() -> None:
    """More than is allowed in one go, between two looks of the watcher."""
    bytearray(b"x") * 2**36


METHOD = around("eats-memory-at-once", eat)
