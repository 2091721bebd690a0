"""What `import qprobe` offers: all of it works, in any order, and nothing is loaded too early."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import qprobe
from tests.documents.strategies import DOCUMENTS

STUB = Path(qprobe.__file__).with_suffix(".pyi")
NAMES = sorted(set(qprobe.__all__) - {"__version__"})
PACKAGES = sorted(module.name for module in pkgutil.iter_modules(qprobe.__path__))
FUNCTIONS = [
    "apply_plan", "keep_freed_memory", "load_document", "load_plan", "make_plan", "measure_sensitivity",
    "probe_machine", "read_model", "receipt_of", "run_bench", "save_document", "verify_plan",
]  # fmt: skip


def run(code: str) -> str:
    """What `code` prints, in a process of its own; warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(qprobe.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_functions_are_those_of_the_design():
    assert [name for name in NAMES if name.islower()] == FUNCTIONS


def test_every_document_class_is_offered():
    assert [kind.__name__ for kind in DOCUMENTS if kind.__name__ not in NAMES] == []


def test_no_name_is_that_of_a_package_of_ours():
    assert set(NAMES) & set(PACKAGES) == set()


def test_dir_lists_the_names():
    assert dir(qprobe) == sorted(qprobe.__all__)


def test_type_checkers_see_the_same_names_from_the_same_homes():
    told = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(STUB.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == qprobe._HOME | {"__version__": "qprobe._version"}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_its_home_holds(name):
    assert getattr(qprobe, name) is getattr(importlib.import_module(qprobe._HOME[name]), name)


@pytest.mark.parametrize("order", ["sorted", "reversed"])
def test_every_name_works_after_every_package_was_imported(order):
    code = f"""
import importlib, qprobe
for package in {order}({PACKAGES}):
    if package != "__main__":
        importlib.import_module("qprobe." + package)
for name in {order}({NAMES}):
    value = getattr(qprobe, name)
    assert value is getattr(importlib.import_module(qprobe._HOME[name]), name), name
    assert not hasattr(value, "__path__"), f"{{name}} is a package"
print("all", len(qprobe.__all__))
"""
    assert run(code) == f"all {len(qprobe.__all__)}"


@pytest.mark.parametrize("loads", ["import qprobe", "import qprobe; dir(qprobe)"])
def test_importing_qprobe_loads_nothing_heavy(loads):
    heavy = run(f"{loads}; import sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))")
    assert not set(heavy.split()) & {"torch", "cupy", "numpy", "scipy", "pydantic", "click", "rich"}


@pytest.mark.parametrize("name", ["Plan", "load_plan", "SCHEMES", "InputError"])
def test_the_documents_load_no_torch(name):
    assert run(f"import qprobe, sys; qprobe.{name}; print('torch' in sys.modules)") == "False"


def test_a_typo_names_what_is_close():
    with pytest.raises(AttributeError, match="has no attribute 'make_plam'; did you mean 'make_p"):
        qprobe.make_plam  # noqa: B018


@pytest.mark.parametrize("name", ["zzz", "__wrapped__", "_home"])
def test_an_unknown_name_is_refused_plainly(name):
    with pytest.raises(AttributeError, match=f"^module 'qprobe' has no attribute '{name}'$"):
        getattr(qprobe, name)


def test_a_name_can_be_imported_from_the_package():
    assert run("from qprobe import Plan, load_plan; print(Plan.__name__)") == "Plan"
