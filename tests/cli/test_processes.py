"""Signals, pipes, full disks and separate streams, each in a real process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from qprobe.documents.files import load_document, parse_document, save_document
from qprobe.documents.plan import Plan
from qprobe.documents.profile import Profile
from tests.render import samples

SLOW_BENCH = """
import sys, time
import qprobe.flow.bench
from tests import documents_factory as factory
def bench(device, model, shapes, m, progress):
    found = [factory.measurement("NONE", "reference", 1, 4, 4, 1e-6)]
    try:
        print("measuring", file=sys.stderr, flush=True)
        time.sleep(60)
        return factory.profile(found)
    except KeyboardInterrupt:
        return factory.profile(found, interrupted=True)
qprobe.flow.bench.bench = bench
"""


def finish(process, timeout=30):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


@pytest.fixture
def plan_file(tmp_path):
    save_document(samples.plan(), tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.fixture
def big_plan(tmp_path):
    """A plan whose JSON is larger than any pipe's buffer."""
    save_document(samples.plan(layers=400), tmp_path / "big.json")
    return tmp_path / "big.json"


def test_interrupted_mid_run_it_prints_what_it_has(start, tmp_path):
    process = start(
        ["bench", "--shape", "4x4", "--json", "-o", tmp_path / "p.json"], fake=SLOW_BENCH
    )
    assert process.stderr.readline() == "measuring\n"
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert status == 130
    assert parse_document(Profile, out, "stdout").interrupted
    assert load_document(Profile, tmp_path / "p.json").interrupted
    assert "Traceback" not in err


def test_answers_and_talk_go_to_separate_streams(start, plan_file):
    status, out, err = finish(start(["explain", plan_file, "--json"]))
    assert status == 0
    assert parse_document(Plan, out, "stdout") == load_document(Plan, plan_file)
    assert err == ""


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", [["--json"], []], ids=["json", "page"])
def test_a_reader_that_leaves_is_no_error(start, big_plan, arguments, unbuffered):
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    process = start(["explain", big_plan, *arguments], env=env)
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=30) == 0
    process.stderr.close()


def test_help_into_a_closed_pipe_is_quiet(start):
    reader, writer = os.pipe()
    os.close(reader)
    process = start(["--help"], stdout=writer)
    os.close(writer)
    assert finish(process)[2] == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "command", [["explain"], ["explain", "--json"], ["doctor", "cpu-isa"]], ids=" ".join
)
def test_streams_that_are_closed_are_nobody(plan_file, tmp_path, command, closed):
    target = tmp_path / "out.json"
    arguments = [*command, *[plan_file] * (command[0] == "explain"), "-o", target]
    line = [sys.executable, "-m", "qprobe", *map(str, arguments)]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *line]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(target.read_text())["schema_version"] == 1
    assert bool(done.stdout) == (">&-" not in closed.split())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told(start, plan_file):
    with open("/dev/full", "w") as full:
        status, _, err = finish(start(["explain", plan_file, "--json"], stdout=full))
    assert status == 3
    assert err.splitlines()[0].startswith("qprobe: cannot write to stdout: No space left")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_disk_that_fills_up_behind_stdout_is_told(start, big_plan, tmp_path, unbuffered):
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open(tmp_path / "out.json", "w") as out:
        process = start(["explain", big_plan, "--json"], LIMIT_FILES, stdout=out, env=env)
        status, _, err = finish(process)
    assert status == 3
    assert err.splitlines()[0].startswith("qprobe: cannot write to stdout: ")


LIMIT_FILES = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
"""


def test_a_full_disk_leaves_the_old_file_whole_and_the_answer_printed(start, big_plan, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "plan.json").write_text("old")
    arguments = ["explain", big_plan, "--json", "-o", folder / "plan.json"]
    status, out, err = finish(start(arguments, fake=LIMIT_FILES))
    assert status == 3
    assert parse_document(Plan, out, "stdout")
    assert "nothing was changed" in err
    assert [item.name for item in folder.iterdir()] == ["plan.json"]
    assert (folder / "plan.json").read_text() == "old"


STOP_BEFORE_RENAME = """
import os, sys, time
def stop(*_):
    print("written", file=sys.stderr, flush=True)
    time.sleep(60)
os.replace = stop
"""


def test_killed_while_writing_the_old_file_stays_whole(start, plan_file, tmp_path):
    out = tmp_path / "out.json"
    out.write_text("old")
    process = start(["explain", plan_file, "-o", out], fake=STOP_BEFORE_RENAME)
    assert process.stderr.readline() == "written\n"
    process.kill()
    assert finish(process)[0] == -signal.SIGKILL
    assert out.read_text() == "old"


def test_a_folder_that_cannot_be_written_is_told_after_the_answer(start, plan_file, tmp_path):
    fake = "import tempfile\ndef refuse(**_): raise PermissionError(13, 'Permission denied')\ntempfile.mkstemp = refuse"
    status, out, err = finish(start(["explain", plan_file, "-o", tmp_path / "x.json"], fake=fake))
    assert status == 3
    assert "Quantize every group" in out
    assert "Permission denied" in err


def test_a_terminal_without_unicode_gets_ascii(start, plan_file, tmp_path):
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    status, out, err = finish(start(["explain", plan_file], env=env))
    assert (status, err) == (0, "")
    assert out.isascii()
    assert "1 x 128 tokens" in out


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "qprobe", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("qprobe ")


SLOW_PROBE = """
import sys, time
import qprobe.flow.probe
def probe():
    print("asking", file=sys.stderr, flush=True)
    time.sleep(60)
qprobe.flow.probe.probe = probe
"""


def test_interrupted_with_nothing_at_hand_says_so_in_a_line(start):
    process = start(["probe"], fake=SLOW_PROBE)
    assert process.stderr.readline() == "asking\n"
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert finish(process) == (130, "", "qprobe: interrupted\n")
    assert time.monotonic() - begin < 10
