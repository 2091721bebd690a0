"""Reading refuses with one clear line; writing is all or nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from qprobe.documents.files import MAX_DOCUMENT_BYTES, load_document, save_document, to_json
from qprobe.documents.machine import Machine
from qprobe.documents.model import Model
from qprobe.documents.plan import Plan
from qprobe.documents.plans import load_plan
from qprobe.errors import InputError, QprobeError
from tests.documents.strategies import simplest

NOBODY = 65534
PLAN = to_json(simplest(Plan))

UNREADABLE = {
    "empty": ("", "is not JSON"),
    "truncated": (PLAN[: len(PLAN) // 2], "is not JSON"),
    "not JSON": ("a plan, honestly", "is not JSON"),
    "not text": (b"\x80\x81\xff\xfe", "is not JSON"),
    "a list": ("[]", "holds a list, not a plan"),
    "a number": ("3", "holds a int, not a plan"),
    "nothing": ("null", "holds a NoneType, not a plan"),
    "nested 100,000 deep": ("[" * 100_000 + "]" * 100_000, "is not JSON: recursion limit"),
    "a plan nested 100,000 deep": ('{"a":' * 100_000 + "1" + "}" * 100_000, "is not JSON"),
    "another document": (to_json(simplest(Model)), "is a 'model', not a plan"),
    "another version": (
        PLAN.replace('"schema_version": 1', '"schema_version": 2'),
        "has schema_version 2; this qprobe reads 1",
    ),
    "no version": (
        PLAN.replace('"schema_version": 1,', ""),
        "has schema_version None; this qprobe reads 1",
    ),
    "an unknown field": (PLAN.replace("{", '{"surprise": 1,', 1), "surprise: Extra inputs"),
    "a bad number": (PLAN.replace('"n": 8', '"n": -8'), "assignments.0.n: Input should be"),
}


def says_one_line(error: QprobeError, path: Path) -> bool:
    """Whether the message is one short line that names the file, and there is a hint."""
    message = str(error)
    return str(path) in message and "\n" not in message and len(message) < 700 and bool(error.hint)


@pytest.mark.parametrize(("content", "complaint"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_bad_file_is_refused_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "plan.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        load_plan(path)
    assert complaint in str(caught.value)
    assert says_one_line(caught.value, path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the plan .*No such file") as caught:
        load_plan(tmp_path / "plan.json")
    assert says_one_line(caught.value, tmp_path / "plan.json")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the machine .*Is a directory"):
        load_document(Machine, tmp_path)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "plan.json"
    path.touch()
    os.truncate(path, MAX_DOCUMENT_BYTES + 1)  # sparse
    with pytest.raises(InputError, match=r"is larger than 256 MiB: not a plan") as caught:
        load_plan(path)
    assert says_one_line(caught.value, path)


def test_what_is_written_is_readable_by_others_as_the_umask_allows(tmp_path):
    before = os.umask(0o027)
    try:
        save_document(simplest(Plan), tmp_path / "plan.json")
    finally:
        os.umask(before)
    assert (tmp_path / "plan.json").stat().st_mode & 0o777 == 0o640


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("x" * 100_000)
    save_document(simplest(Plan), path)
    assert path.read_text() == PLAN
    assert list(tmp_path.iterdir()) == [path]


def test_writing_to_a_missing_folder_is_refused(tmp_path):
    path = tmp_path / "nowhere" / "plan.json"
    with pytest.raises(QprobeError, match=r"cannot write .*No such file") as caught:
        save_document(simplest(Plan), path)
    assert says_one_line(caught.value, path)


def test_writing_over_a_folder_is_refused_and_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "plan.json"
    path.mkdir()
    with pytest.raises(QprobeError, match=r"cannot write .*Is a directory"):
        save_document(simplest(Plan), path)
    assert list(tmp_path.iterdir()) == [path]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_writing_to_a_read_only_folder_is_refused():
    # pytest's own folders are closed to other users, and so to `as_nobody`.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        path.write_text("old")
        os.chmod(folder, 0o555)
        try:
            with as_nobody(), pytest.raises(QprobeError, match=r"cannot write .*denied") as caught:
                save_document(simplest(Plan), path)
        finally:
            os.chmod(folder, 0o755)
        assert says_one_line(caught.value, path)
        assert [one.read_text() for one in Path(folder).iterdir()] == ["old"]


@contextlib.contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond a size: what a full disk does, wherever the disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("old")
    with largest_file(16), pytest.raises(QprobeError, match="nothing was changed") as caught:
        save_document(simplest(Plan), path)
    assert says_one_line(caught.value, path)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["old"]


KILLED = """
import os, signal, sys
from pathlib import Path
from qprobe.documents.files import write_text

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, sys.argv[1], die)
write_text("new" * 100_000, Path(sys.argv[2]))
"""


@pytest.mark.parametrize("moment", ["fsync", "chmod", "replace"])
def test_a_kill_while_writing_leaves_the_old_file_whole(tmp_path, moment):
    path = tmp_path / "plan.json"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, moment, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    save_document(simplest(Plan), path)
    assert path.read_text() == PLAN


def test_a_link_stays_a_link_and_a_file_keeps_its_mode(tmp_path):
    path, link, dangling = (tmp_path / name for name in ("plan.json", "latest", "next"))
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to("plan.json")
    dangling.symlink_to("new.json")
    for one in (link, dangling):
        save_document(simplest(Plan), one)
        assert one.is_symlink()
        assert one.read_text() == PLAN
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "latest",
        "new.json",
        "next",
        "plan.json",
    ]


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(pipe.read_text)
        save_document(simplest(Plan), pipe)
        assert reader.result(10) == PLAN
    assert pipe.is_fifo()
    with pytest.raises(QprobeError, match="cannot write /dev/full"):
        save_document(simplest(Plan), "/dev/full")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["量" * 83 + ".json", "n" * 255], ids=["wide", "long"])
def test_every_name_that_the_disk_takes_is_written(tmp_path, name):
    save_document(simplest(Plan), tmp_path / name)
    assert (tmp_path / name).read_text() == PLAN


def test_a_name_that_the_disk_does_not_take_is_refused(tmp_path):
    with pytest.raises(QprobeError, match=r"cannot write .*too long"):
        save_document(simplest(Plan), tmp_path / ("n" * 300))
