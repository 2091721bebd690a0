from __future__ import annotations

from tests.doctor.planted._steps import around


def eat() -> None:
    held = []
    while True:
        held.append(bytearray(b"x") * 2**22)


METHOD = around("eats-memory", eat)
