from __future__ import annotations

import ctypes

from tests.doctor.planted._steps import around


def crash() -> None:
    ctypes.string_at(0)


METHOD = around("dies-by-signal", crash)
