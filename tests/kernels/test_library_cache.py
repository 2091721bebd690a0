"""The C++ library in the cache: for which processor it was built, and what of it is trusted."""

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from qprobe.kernels import device
from qprobe.kernels.cpp import _library

needs_library = pytest.mark.skipif(
    _library.load_library().handle is None, reason=_library.load_library().reason or "built"
)
CASCADE_LAKE = "avx avx2 f16c fma avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni"
ICE_LAKE = f"{CASCADE_LAKE} avx512ifma avx512vbmi avx512_vbmi2 gfni vaes avx512_bitalg"
LOAD = """
from qprobe.kernels.cpp._library import load_library
print(load_library().reason or "loaded")
"""


def load(cache, **environment):
    """What a new process says of the library."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env=os.environ | {"QPROBE_CACHE": str(cache)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or f"it ended by {done.returncode}: {done.stderr[-500:]}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A cache with the library in it, to copy."""
    folder = tmp_path_factory.mktemp("built")
    assert load(folder) == "loaded"
    return folder


@pytest.fixture
def cache(built, tmp_path):
    return shutil.copytree(built, tmp_path / "cache")


def test_processors_of_different_instructions_have_libraries_of_their_own(monkeypatch):
    """What matters to products is the same in both, but one cannot run what is built for the other."""
    sources = sorted((_library.find_sources() / "cpu").glob("*.cpp"))
    found, told = set(), set()
    for flags in (CASCADE_LAKE, ICE_LAKE, ICE_LAKE):
        monkeypatch.setattr(device, "_first_processor", lambda _root, flags=flags: {"flags": flags})
        told.add(device.cpu_features())
        found.add(_library._name_build(sources, []))
    assert len(told) == 1
    assert len(found) == 2


@needs_library
def test_a_library_that_was_cut_is_built_again(cache):
    """Loaded, it ends the process."""
    (path,) = (cache / "native").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert load(cache) == "loaded"
    assert path.stat().st_size == len(whole)
    assert list((cache / "native").iterdir()) == [path]


def refuse(*_arguments, **_options):
    raise PermissionError("read-only")


@needs_library
def test_a_library_in_a_folder_that_cannot_be_written_is_used(cache, monkeypatch):
    monkeypatch.setenv("QPROBE_CACHE", str(cache))
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    assert _library.load_library.__wrapped__().reason == ""


@needs_library
def test_what_cannot_be_kept_leaves_nothing_behind(tmp_path):
    (tmp_path / "cache").write_text("in the way")
    (tmp_path / "temporary").mkdir()
    assert load(tmp_path / "cache", TMPDIR=str(tmp_path / "temporary")) == "loaded"
    assert list((tmp_path / "temporary").iterdir()) == []


@needs_library
@pytest.mark.parametrize("missing", [{"CXX": "no-such-compiler"}, {"PATH": ""}])
@pytest.mark.parametrize("never", [{}, {"QPROBE_COMPILE": "never"}])
def test_a_library_is_used_where_there_is_no_compiler(cache, missing, never):
    assert load(cache, **missing, **never) == "loaded"


@needs_library
def test_a_library_is_used_where_nothing_may_be_compiled(cache, tmp_path):
    assert load(cache, QPROBE_COMPILE="never") == "loaded"
    assert "not compiled yet" in load(tmp_path / "empty", QPROBE_COMPILE="never")
