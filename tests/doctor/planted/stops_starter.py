"""Nobody tells of its end: so it is with a process that a driver does not let go."""

from __future__ import annotations

import os
import signal
import time

from tests.doctor.planted._steps import around


def stop() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(60)


METHOD = around("stops-starter", stop)
