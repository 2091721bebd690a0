from __future__ import annotations

import time

from tests.doctor.planted._steps import around


def hang() -> None:
    while True:
        time.sleep(1)


METHOD = around("hangs", hang)
