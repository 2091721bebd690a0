from __future__ import annotations

import os
import signal
import time

from tests.doctor.planted._steps import around


def kill() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


METHOD = around("kills-starter", kill)
