"""What torch says of itself, and what its import may raise."""

from __future__ import annotations

import sys
import sysconfig
from types import SimpleNamespace

import pytest

from qprobe.kernels import device
from qprobe.probe import torch_facts
from qprobe.probe.isolated import run_self_test
from qprobe.probe.torch_facts import ask_torch


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


def find(environment):
    unanswered = {}
    return torch_facts.find_cxx_compiler(environment, unanswered), unanswered


def test_compiler_is_the_one_that_torch_takes(compilers):
    assert find({"PATH": str(compilers)}) == ("g++", {})


def test_cxx_names_another_compiler_and_its_folder_is_left_out(compilers):
    assert find({"PATH": "", "CXX": str(compilers / "my++")}) == ("my++", {})


def test_the_name_of_a_compiler_that_is_no_text_is_escaped(compilers):
    assert find({"PATH": "", "CXX": "/tmp/caf\udce9"}) == (
        None,
        {"software.torch.cxx_compiler": "caf\\udce9 is not on the PATH"},
    )


@pytest.mark.parametrize("name", ["clang++", "/home/somebody/clang++"])
def test_cxx_that_is_not_there_is_no_compiler_even_beside_one(compilers, name):
    found, unanswered = find({"PATH": str(compilers), "CXX": name})
    assert found is None
    assert unanswered == {"software.torch.cxx_compiler": "clang++ is not on the PATH"}


def test_compiler_without_the_headers_of_python_is_no_compiler(compilers):
    (compilers / "Python.h").unlink()
    found, unanswered = find({"PATH": str(compilers)})
    assert found is None
    assert unanswered == {"software.torch.cxx_compiler": "g++ is there, Python.h is not"}


def test_torch_that_is_not_there_is_a_fact(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    facts = ask_torch()
    assert (facts.build, facts.gpus, facts.fingerprints) == (None, (), {})
    assert facts.unanswered["software.torch"].startswith("import torch: ")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "raise ImportError('libcudart.so.12: cannot open')",
            "import torch: libcudart.so.12: cann",
        ),
        ("raise RuntimeError('numpy is\\nbroken')", "import torch: RuntimeError: numpy is"),
        ("1 / 0", "import torch: ZeroDivisionError: division by zero"),
        ("", "import torch: AttributeError: module 'torch' has no attribute '__version__'"),
        ("import sys; sys.exit('no')", "torch in a process of its own: no"),
        ("import os; os._exit(3)", "torch in a process of its own: ended with status 3"),
        ("import os; os.abort()", "torch in a process of its own: ended by SIGABRT"),
        ("print('hello', end='')\n1 / 0", "import torch: ZeroDivisionError: division by zero"),
    ],
    ids=["import", "runtime", "any", "empty", "exit", "hard exit", "abort", "talks"],
)
def test_torch_that_raises_or_dies_at_import_is_a_fact(tmp_path, monkeypatch, source, words):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = run_self_test()
    said = answer.facts.unanswered["software.torch"] if answer.facts else answer.broke["facts"]
    assert said.startswith(words)


def test_a_device_that_cannot_be_identified_is_a_fact(monkeypatch):
    monkeypatch.setattr(device, "memory_bytes", lambda: None)
    facts = ask_torch()
    assert "cpu" not in facts.fingerprints
    assert "memory" in facts.unanswered["fingerprints.cpu"]


def test_an_old_torch_with_a_gpu_tells_the_rest(monkeypatch):
    """Once the properties of a device had no identifier."""
    import torch

    card = SimpleNamespace(
        name="Tesla V100", major=7, minor=0, multi_processor_count=80, total_memory=2**34
    )
    properties = iter((card, SimpleNamespace(name="in parts")))
    monkeypatch.setattr(torch_facts, "cuda_listed", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: next(properties))
    monkeypatch.setattr(torch_facts, "_take_fingerprints", lambda _unanswered: {})
    facts = ask_torch()
    assert facts.build is not None
    assert [(gpu.device, gpu.name, gpu.uuid) for gpu in facts.gpus] == [
        ("cuda:0", "Tesla V100", "")
    ]
    assert "no attribute" in facts.unanswered["fingerprints.cuda:1"]
