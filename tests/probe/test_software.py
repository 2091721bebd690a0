"""Versions without imports, the compiler of torch.compile, and the variables that matter."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import qprobe
from qprobe.probe import software


def test_versions_are_those_of_the_metadata():
    found = software.installed_packages()
    assert found["torch"].startswith("2.")
    assert list(found) == [name for name in software.DISTRIBUTIONS if name in found]


def test_asking_for_versions_imports_none_of_them():
    code = (
        "import sys; from qprobe.probe.software import installed_packages as ask; ask();"
        "names = ('torch', 'transformers', 'peft', 'bitsandbytes', 'cupy', 'pynvml', 'scipy');"
        "sys.exit(str([n for n in names if n in sys.modules] or 0) if "
        "any(n in sys.modules for n in names) else 0)"
    )
    folder = Path(qprobe.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_environment_keeps_only_what_changes_the_kernels():
    environment = {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "2", "TOKEN": "secret", "HOME": "/x"}
    assert software.kernel_environment(environment) == {
        "MKL_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "2",
    }


@pytest.fixture
def compilers(tmp_path, monkeypatch):
    """A PATH with a g++ and a my++, and Python's headers."""
    for name in ("g++", "my++"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "Python.h").write_text("")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    return tmp_path


def test_compiler_is_the_one_that_torch_takes(compilers):
    unanswered = {}
    found = software.find_cxx_compiler({"PATH": str(compilers)}, unanswered)
    assert found == str(compilers / "g++")
    assert unanswered == {}


def test_cxx_names_another_compiler(compilers):
    found = software.find_cxx_compiler({"PATH": str(compilers), "CXX": "my++"}, {})
    assert found == str(compilers / "my++")


def test_cxx_that_is_not_there_is_no_compiler_even_beside_one(compilers):
    unanswered = {}
    environment = {"PATH": str(compilers), "CXX": "clang++"}
    assert software.find_cxx_compiler(environment, unanswered) is None
    assert unanswered == {"software.torch.cxx_compiler": "clang++ is not on the PATH"}


def test_compiler_without_the_headers_of_python_is_no_compiler(compilers):
    (compilers / "Python.h").unlink()
    unanswered = {}
    assert software.find_cxx_compiler({"PATH": str(compilers)}, unanswered) is None
    assert unanswered == {"software.torch.cxx_compiler": "g++ is there, Python.h is not"}


def test_torch_that_cannot_be_imported_is_a_fact(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    unanswered = {}
    assert software.probe_software(unanswered).torch is None
    assert unanswered["software.torch"].startswith("import torch: ")
