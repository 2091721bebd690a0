from __future__ import annotations

import signal
import subprocess
import sys
import time

from tests.doctor.planted._steps import around


def hang() -> None:
    """Deaf to what can be refused, in company, at work."""
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", "left-behind"])
    end = time.monotonic() + 300
    while time.monotonic() < end:
        pass


METHOD = around("hangs-deaf", hang)
