"""Starts a process for each method, from one that has imported torch and qprobe's layers already.

`python -m qprobe.doctor.execution.starter FD [bare]`. Importing torch takes more than a second, of
which the doctor has ten; a fork takes a hundredth. What is imported here is held once: registering an
operator looks at every module, and a process that does so gets its own copy of what it looks at. It
runs nothing itself, so that it outlives what the methods do to their processes.
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from qprobe._discover import discover_in
from qprobe._lifetime import die_with_parent
from qprobe.doctor.execution.messages import Ended, Request
from qprobe.doctor.execution.report import Report

READY = b"ready\n"
BARE = "bare"
LARGEST_REQUEST = 2**16
OUT_OF_REACH = 200
"""Libraries that write to descriptors which they did not open take low ones."""
HEADROOM = 2
"""So many times the limit on resident memory may be allocated: the watcher comes first, and this stops
what grows between two of its looks."""


def main() -> None:
    """Fork for each request until the doctor closes the connection."""
    control = socket.socket(fileno=int(sys.argv[1]))
    die_with_parent()
    if BARE not in sys.argv[2:]:
        with suppress(Exception):  # each method will find out by itself, and say so
            from qprobe.kernels.registry import all_kernels
            from qprobe.layers import layers_by_scheme

            all_kernels()
            layers_by_scheme()
    # What is there stays shared with the processes of the methods: their collector leaves it alone.
    gc.collect()
    gc.freeze()
    control.sendall(READY)
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(control, LARGEST_REQUEST, 2)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            _run(Request.model_validate_json(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(b"%d\n" % pid)
        _pid, status, usage = os.wait4(pid, 0)
        unit = 1 if sys.platform == "darwin" else 1024
        ended = Ended(status=status, peak_bytes=usage.ru_maxrss * unit)
        control.sendall(ended.model_dump_json().encode() + b"\n")


def _run(request: Request, results: int, output: int) -> None:
    """Become the process of a method, run its script, and end; never returns."""
    status = 1
    try:
        os.setsid()
        die_with_parent()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        channel = fcntl.fcntl(results, fcntl.F_DUPFD_CLOEXEC, _out_of_reach())
        os.close(results)
        _limit(request)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        methods = {item.id: item for item in discover_in(request.package, "METHOD")}
        report = Report(channel, request.device, frozenset(request.done), request.is_full)
        methods[request.method].script(report)
        report.finish()
        status = 0
    except (
        BaseException
    ):  # the border of the process: whatever it is, the doctor reads its last line
        with suppress(BaseException):
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(status)  # what libraries do at exit is not what was asked


def _out_of_reach() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OUT_OF_REACH if limit == resource.RLIM_INFINITY else min(OUT_OF_REACH, limit - 1)


def _limit(request: Request) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if request.device == "cpu":  # a driver maps far more than it uses
        limit = HEADROOM * request.memory_bytes
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with suppress(
        OSError
    ):  # if the system runs out of memory after all, it shall take this process
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main()
