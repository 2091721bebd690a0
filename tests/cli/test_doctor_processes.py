"""`qprobe doctor` as a process that starts others: what they do to it, Ctrl-C, a bare system."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qprobe.documents.files import parse_document
from qprobe.documents.finding import Diagnosis
from tests.cli.test_processes import finish

PLANTED = """
import functools, sys
import qprobe.doctor, qprobe.flow.diagnose
from qprobe._discover import discover_in
from qprobe.doctor.execution.watch import Limits
from qprobe.doctor.trying import Trying
from tests.doctor.machines import load
known = {m.id: m for m in discover_in("tests.doctor.planted", "METHOD")}
listed = tuple(known[name] for name in NAMES)
limits = Limits(import_s=20, step_s=STEP, whole_s=60, memory_bytes=2**29)
class Told(Trying):
    def verdict(self, method, device):
        print("trying", method.id, file=sys.stderr, flush=True)
        return super().verdict(method, device)
qprobe.flow.diagnose._probe = lambda *_: load("epyc_avx2")
qprobe.doctor.list_methods = lambda: listed
qprobe.doctor.Trying = functools.partial(Told, package="tests.doctor.planted", limits=limits)
"""


def planted(*names, step=30):
    return PLANTED.replace("NAMES", repr(names)).replace("STEP", str(step))


def test_all_four_that_do_their_worst_are_verdicts_and_the_run_is_complete(start):
    names = ("dies-by-signal", "hangs", "eats-memory", "corrupts-stdout", "right")
    status, out, err = finish(start(["doctor", "--full", "--json"], planted(*names, step=2)), 120)
    diagnosis = parse_document(Diagnosis, out, "stdout")
    found = {item.method: item.verdict for item in diagnosis.verdicts}
    assert found == {
        "dies-by-signal": "broken",
        "hangs": "broken",
        "eats-memory": "broken",
        "corrupts-stdout": "works",
        "right": "works",
    }
    assert diagnosis.findings
    assert status == 0, "the checks are fine, and nobody asked about one of the methods"
    assert "Traceback" not in err


FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
"""


def test_few_open_files_suffice(start):
    command = start(["doctor", "--full", "--json"], planted("corrupts-stdout", "right") + FEW_FILES)
    status, out, _ = finish(command, 60)
    assert [v.verdict for v in parse_document(Diagnosis, out, "stdout").verdicts] == ["works"] * 2
    assert status == 0


def test_ctrl_c_prints_what_it_has_and_leaves_nothing_behind(start):
    process = start(["doctor", "--full", "--json"], planted("right", "hangs-deaf", "wrong"))
    assert process.stderr.readline() == "trying right\n"
    assert process.stderr.readline() == "trying hangs-deaf\n"
    await_its_company(process.pid, 3)
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert status == 130
    diagnosis = parse_document(Diagnosis, out, "stdout")
    assert diagnosis.interrupted
    assert [item.method for item in diagnosis.verdicts] == ["right"]
    assert len(diagnosis.findings) >= 10
    assert "interrupted" in err
    assert "Traceback" not in err
    assert_gone(lambda: "left-behind" in processes())


def test_killed_itself_it_leaves_nothing_behind(start):
    process = start(["doctor", "--full"], planted("hangs"))
    assert process.stderr.readline() == "trying hangs\n"
    started = await_its_company(process.pid, 2)
    process.kill()
    finish(process)
    assert_gone(lambda: bool(started & set(parents())))


def assert_gone(is_there: Callable[[], bool]) -> None:
    """What was killed takes a moment to go."""
    end = time.monotonic() + 10
    while is_there() and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_there()


def await_its_company(pid: int, count: int) -> set[int]:
    """What runs under a doctor: the starter, the method's process, and what that starts."""
    end = time.monotonic() + 30
    while len(found := descendants(pid)) < count and time.monotonic() < end:
        time.sleep(0.1)
    assert len(found) >= count
    return found


def processes() -> str:
    """The command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


def parents() -> dict[int, int]:
    """Process → its parent, of those that are no zombies."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def descendants(pid: int) -> set[int]:
    children = {child for child, parent in parents().items() if parent == pid}
    return children.union(*(descendants(child) for child in children))


def test_a_home_that_cannot_be_written_and_no_compiler(start):
    env = os.environ | {"HOME": "/proc", "QPROBE_CACHE": "/proc/nowhere", "CXX": "/nowhere/g++"}
    status, out, _ = finish(start(["doctor", "qprobe-w8a8", "--json"], env=env), 120)
    (verdict,) = parse_document(Diagnosis, out, "stdout").verdicts
    assert verdict.verdict in ("fast", "works", "slow")
    assert status == 0


INTERRUPTED_PROBE = """
import sys, time
import qprobe.probe
from tests.doctor.machines import load
def probe_machine(questions, **_):
    if questions is None:
        print("asking", file=sys.stderr, flush=True)
        time.sleep(60)
    return load("epyc_avx2")
qprobe.probe.probe_machine = probe_machine
"""


def test_ctrl_c_while_the_machine_is_asked_prints_what_it_has(start):
    process = start(["doctor", "--json"], INTERRUPTED_PROBE)
    assert process.stderr.readline() == "asking\n"
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert status == 130
    found = parse_document(Diagnosis, out, "stdout")
    assert found.interrupted
    assert "memory" in [item.id for item in found.findings]
    assert "interrupted" in err
    assert "Traceback" not in err
