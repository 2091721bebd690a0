"""The C++ kernels: built once, found again, done without where they cannot be built."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from qprobe.kernels import activations
from qprobe.kernels.activations import dequantize_tokens, quantize_tokens
from qprobe.kernels.cpp import _library
from qprobe.kernels.cpp._activations import find_quantizer
from qprobe.kernels.registry import kernels_for

BUILT = _library.load_library().handle is not None
needs_library = pytest.mark.skipif(not BUILT, reason=_library.load_library().reason or "built")

USE = """
import torch
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.cpp._library import load_library
from qprobe.kernels.registry import kernels_for
codes, scale = quantize_tokens(torch.tensor([[1.0, -2.0]]), "int8")
print(codes.tolist(), load_library().reason)
for kernel in kernels_for("cpu"):
    print(kernel.id, "|", kernel.absent("cpu"))
"""


def use(tmp_path, **environment):
    done = subprocess.run(
        [sys.executable, "-c", USE],
        env=os.environ | {"QPROBE_CACHE": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    first, *kernels = done.stdout.splitlines()
    return first, dict(line.split(" | ") if " | " in line else (line[:-2], "") for line in kernels)


@needs_library
def test_built_once_and_found_again(tmp_path):
    first, _ = use(tmp_path)
    (built,) = (tmp_path / "native").iterdir()
    stamp = built.stat().st_mtime_ns
    assert first == "[[64, -127]] "
    use(tmp_path)
    assert [path.stat().st_mtime_ns for path in (tmp_path / "native").iterdir()] == [stamp]


@needs_library
def test_what_is_built_beside_another_openmp_loads_without_it(tmp_path):
    """As scikit-learn brings one, which comes before torch's by name."""
    folder = tmp_path / "another.libs"
    folder.mkdir()
    other = folder / "libgomp-e985bcbb.so.1"
    subprocess.run(
        [shutil.which(os.environ.get("CXX") or "g++"), "-x", "c", "-", "-shared", "-fPIC", f"-Wl,-soname,{other.name}", "-o", other],
        input="void GOMP_parallel(void) {}", text=True, check=True,
    )  # fmt: skip
    brought = f"import ctypes\nctypes.CDLL({str(other)!r})\n"
    for source in (brought + USE, USE):
        done = subprocess.run(
            [sys.executable, "-c", source],
            env=os.environ | {"QPROBE_CACHE": str(tmp_path / "cache")},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.splitlines()[0] == "[[64, -127]] "


SITE = Path("/site-packages")
TORCH = SITE / "torch"


@pytest.mark.parametrize(
    ("loaded", "wanted"),
    [
        ([TORCH / "lib/libgomp.so.1", SITE / "scikit_learn.libs/libgomp-e985bcbb.so.1.0.0"], 0),
        ([SITE / "a.libs/libgomp-1.so.1", SITE / "torch.libs/libgomp-2.so.1", "/usr/lib/libgomp.so.1"], 1),
        ([SITE / "a.libs/libgomp-1.so.1", "/usr/lib/x86_64-linux-gnu/libgomp.so.1"], 1),
        (["/opt/conda/lib/libiomp5.so", SITE / "a.libs/libgomp-1.so.1"], 0),
        ([SITE / "a.libs/libgomp-1.so.1", "/usr/lib/libc.so.6"], None),
        ([], None),
    ],
)  # fmt: skip
def test_the_openmp_that_is_linked_is_the_one_of_torch(loaded, wanted):
    found = _library.find_openmp(set(map(Path, loaded)), TORCH)
    assert found == ([] if wanted is None else [str(loaded[wanted])])


def test_without_a_compiler_other_kernels_do_and_the_reason_is_said(tmp_path):
    first, kernels = use(tmp_path, CXX="no-such-compiler")
    assert first.startswith("[[64, -127]] ")
    assert "there is no C++ compiler" in first
    assert "no C++ compiler" in kernels["cpu.gemv_avx512"]
    assert kernels["reference"] == ""


def test_a_compiler_with_options_is_called_with_them(tmp_path):
    compiler = tmp_path / "a compiler"
    compiler.write_text(
        '#!/bin/sh\n[ "$2" = --version ] && { echo old 1.0; exit 0; }\n'
        'echo "error: called with $1" >&2\nexit 1\n'
    )
    compiler.chmod(0o755)
    first, _ = use(tmp_path, CXX=f"'{compiler}' -m64")
    assert "a compiler cannot compile them: error: called with -m64" in first


@pytest.mark.parametrize("words", ["'g++", "  "])
def test_words_that_name_no_compiler_are_none(tmp_path, words):
    first, _ = use(tmp_path, CXX=words)
    assert "there is no C++ compiler" in first


def test_a_compiler_that_fails_is_quoted_in_a_line(tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo old 1.0; exit 0; }\n'
        'echo "x.cpp:1: error: what is c++17" >&2\nexit 1\n'
    )
    compiler.chmod(0o755)
    first, kernels = use(tmp_path, CXX=str(compiler))
    assert "c++ cannot compile them: x.cpp:1: error: what is c++17" in first
    assert kernels["reference"] == ""
    assert not (tmp_path / "native").exists()


@needs_library
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("in the way")
    first, _ = use(tmp_path, QPROBE_CACHE=str(tmp_path / "file"))
    assert first == "[[64, -127]] "


@needs_library
def test_torch_and_the_library_share_one_openmp():
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "libgomp" in line or "libiomp" in line}
    assert len(paths) <= 1


@needs_library
@pytest.mark.parametrize("form", ["int8", "uint8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4096), (7, 33), (3, 5, 129), (200, 384)])
def test_the_quantizer_agrees_with_the_one_of_torch_operators(monkeypatch, form, dtype, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 5
    x.view(-1)[0] = 40
    x = x.to(dtype)
    assert find_quantizer() is not None
    codes, scale = quantize_tokens(x, form)
    monkeypatch.setattr(activations, "find_quantizer", lambda: None)
    others, same = quantize_tokens(x, form)
    assert torch.allclose(scale, same, rtol=1e-6, atol=0)
    apart = codes.int() - others.int()  # Ties may be rounded to either side.
    assert int(apart.abs().max()) <= 1
    assert float((apart != 0).float().mean()) < 0.02
    error = dequantize_tokens(codes, scale) - x.double()
    assert bool((error.abs() <= scale.double() * 0.5001).all())


@needs_library
def test_threads_more_than_cores_change_nothing():
    threads = torch.get_num_threads()
    x = torch.randn(300, 512, generator=torch.Generator().manual_seed(1))
    codes, scale = quantize_tokens(x, "int8")
    try:
        torch.set_num_threads(16)
        again, same = quantize_tokens(x, "int8")
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(codes, again)
    assert torch.equal(scale, same)


def test_kernels_for_few_rows_say_how_many():
    few = [kernel for kernel in kernels_for("cpu") if kernel.max_rows is not None]
    assert all(kernel.max_rows >= 8 for kernel in few)
    assert kernels_for("cpu")[-1].max_rows is None
