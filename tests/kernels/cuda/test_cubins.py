"""Machine code is compiled once, found again, and never taken from a file that is not whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from qprobe.errors import UnavailableError
from qprobe.kernels._sealed import read_sealed
from qprobe.kernels.cuda import cubins
from qprobe.kernels.cuda.builds import builds
from qprobe.kernels.cuda.cubins import load_cubin
from qprobe.kernels.cuda.manifest import read_manifest
from qprobe.kernels.cuda.nvrtc import Choice, choose_compiler, find_compilers

SOURCE = """\
// Writes the block's number.
//: entry = "number"
//: role = "copy"
//: architectures = ["7.0", "8.0"]
//: tile = { n = 32 }
//: threads = 32
//: arguments = ["y", "n"]
//: variants = { one = {}, two = { threads = 64 } }
//: sass = { max_registers = 32 }
#include "prims.cuh"
extern "C" __global__ void __launch_bounds__(QP_THREADS) number(int* y, int n) {
  if (blockIdx.x * QP_TILE_N < n) y[blockIdx.x] = ADDED + QP_THREADS;
}
"""

LOAD = """
import sys
from pathlib import Path
from qprobe.kernels.cuda.builds import builds
from qprobe.kernels.cuda.cubins import load_cubin
from qprobe.kernels.cuda.manifest import read_manifest
from qprobe.kernels.cuda.nvrtc import choose_compiler
source, cache = map(Path, sys.argv[1:])
for build in builds(read_manifest(source)):
    code = load_cubin(source, build, choose_compiler("8.0"), cache)
    assert code.startswith(b"\\x7fELF")
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "sources" / "number.cu"
    path.parent.mkdir()
    path.write_text(SOURCE)
    (path.parent / "prims.cuh").write_text("#define ADDED 3\n")
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch):
    """What was compiled, in order."""
    names = []

    def compile_source(compiler, source, name, target, options):
        names.append((name, target))
        return kept(compiler, source, name, target, options)

    kept = cubins.compile_source
    monkeypatch.setattr(cubins, "compile_source", compile_source)
    return names


def load(source, cache, capability="8.0", build=0):
    return load_cubin(
        source, builds(read_manifest(source))[build], choose_compiler(capability), cache
    )


def test_compiled_once_and_found_again(source, cache, compiled):
    first = load(source, cache)
    assert load(source, cache) == first
    assert compiled == [("number.cu (one)", "8.0")]
    assert [path.suffix for path in cache.iterdir()] == [".cubin"]


def test_whatever_decides_the_code_is_another_file(source, cache, compiled):
    load(source, cache)
    load(source, cache, "7.0")
    load(source, cache, build=1)
    for compiler in find_compilers():
        load_cubin(source, builds(read_manifest(source))[0], Choice(compiler, "8.0"), cache)
    (source.parent / "prims.cuh").write_text("#define ADDED 4\n")
    load(source, cache)
    (source.parent / "prims.cuh").write_text('#include "more.cuh"\n')
    for added in ("5", "6"):
        (source.parent / "more.cuh").write_text(f"#pragma once\n#define ADDED {added}\n")
        load(source, cache)
    source.write_text(SOURCE + "// more\n")
    load(source, cache)
    assert len(compiled) == len(find_compilers()) + 6
    assert len(list(cache.iterdir())) == len(compiled)


def test_what_is_not_included_does_not_matter(source, cache, compiled):
    load(source, cache)
    (source.parent / "other.cuh").write_text("#define ADDED 5\n")
    load(source, cache)
    assert len(compiled) == 1


def test_headers_that_include_one_another_are_read_once(source, cache, compiled):
    (source.parent / "prims.cuh").write_text(
        '#pragma once\n#include "prims.cuh"\n#define ADDED 1\n'
    )
    load(source, cache)
    assert len(compiled) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:40],
        lambda whole: whole[:-1],
        lambda whole: whole + b"\0",
        lambda whole: whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        lambda whole: bytes([whole[0] ^ 1]) + whole[1:],
        lambda whole: b"\x7fELF" * 100,
    ],
    ids=["empty", "cut at the start", "cut", "longer", "a bit", "the first bit", "not ours"],
)
def test_a_damaged_file_is_made_again(source, cache, compiled, damage):
    first = load(source, cache)
    (path,) = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert load(source, cache) == first
    assert len(compiled) == 2
    assert load(source, cache) == first
    assert len(compiled) == 2


def test_processes_that_compile_at_once_do_not_disturb_one_another(source, cache):
    command = [sys.executable, "-c", LOAD, str(source), str(cache)]
    running = [
        subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ended = [(process.communicate()[1], process.returncode) for process in running]
    assert ended == [("", 0)] * 3
    files = sorted(cache.iterdir())
    assert [path.suffix for path in files] == [".cubin"] * 2
    assert None not in map(read_sealed, files)


def test_a_folder_that_cannot_be_written_is_done_without(source, tmp_path, compiled):
    (tmp_path / "file").write_text("")
    load(source, tmp_path / "file" / "cache")
    assert load(source, tmp_path / "file").startswith(b"\x7fELF")
    assert len(compiled) == 2


def test_nothing_is_kept_of_what_does_not_compile(source, cache):
    (source.parent / "prims.cuh").write_text("")
    with pytest.raises(UnavailableError, match=r"number.cu \(one\) does not compile for sm_80"):
        load(source, cache)
    assert not cache.exists()


def test_the_users_cache_is_the_default(source, cache, monkeypatch):
    monkeypatch.setenv("QPROBE_CACHE", str(cache))
    load_cubin(source, builds(read_manifest(source))[0], choose_compiler("8.0"))
    assert len(list((cache / "cubins").iterdir())) == 1
