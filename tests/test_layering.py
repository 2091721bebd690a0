"""The package keeps its rows, and the checker sees every way to break them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qprobe.documents.files import save_document
from tests.documents_factory import linear, model
from tests.layering import find_violations
from tests.plans import decide, plan_for

PACKAGE = Path(__file__).parent.parent / "qprobe"

CLEAN = {
    "__init__.py": 'import importlib\nfrom qprobe._version import __version__\n\nimportlib.import_module("qprobe." + "cli")\n',
    "__main__.py": "from qprobe.cli import main\n",
    "_version.py": "",
    "_discover.py": "import importlib\n\nimportlib.import_module(str())\n",
    "errors.py": "import sys\n",
    "documents/__init__.py": "",
    "documents/plan.py": "import json\nimport pydantic\nfrom qprobe.documents import scheme\nfrom qprobe.errors import InputError\n",
    "documents/scheme.py": "from qprobe import errors\n",
    "policy/__init__.py": "",
    "policy/solver.py": "def solve():\n    from scipy.optimize import milp\n",
    "policy/rules/speed.py": "from qprobe.documents.plan import Plan\nfrom qprobe.policy import solver\n",
    "doctor/__init__.py": "import torch\nfrom qprobe.doctor import _check\n",
    "doctor/_check.py": "from qprobe.documents import plan\n",
    "doctor/checks/driver.py": "from qprobe.doctor._check import Check\n",
    "probe/nvml.py": "import pynvml\n",
    "kernels/cuda/loader.py": "import cupy\n",
    "checkpoint/loading.py": "def load():\n    import transformers\n",
    "layers/w8a8.py": "import torch\nfrom qprobe.kernels.cuda import loader\n",
    "apply/__init__.py": "import qprobe.layers.w8a8 as layer\nfrom qprobe.documents import plan, scheme\n",
    "render/plan.py": "import rich.table\nimport jinja2\n",
    "flow/plan.py": "from qprobe import policy, probe\n",
    "cli/__init__.py": 'import click\nimport importlib\n\nimportlib.import_module(f"qprobe.flow.{1}")\n',
}

PLANTED = {
    "a lower row imports a higher one": (
        {"layers/w4a16.py": "from qprobe.apply import apply_plan\n"},
        "qprobe/layers/w4a16.py:1: imports qprobe.apply, which is not below layers",
    ),
    "a row imports its neighbour": (
        {"bench/run.py": "from qprobe.probe import nvml\n"},
        "qprobe/bench/run.py:1: imports qprobe.probe.nvml, which is not below bench",
    ),
    "from the package itself": (
        {"quantize/rtn.py": "from qprobe import kernels, errors\n"},
        "qprobe/quantize/rtn.py:1: imports qprobe.kernels, which is not below quantize",
    ),
    "a public name by way of the package": (
        {"timing/clock.py": "from qprobe import make_plan\n"},
        "qprobe/timing/clock.py:1: imports qprobe, which is not below timing",
    ),
    "the package alone": (
        {"bench/run.py": "import qprobe\n"},
        "qprobe/bench/run.py:1: imports qprobe, which is not below bench",
    ),
    "a dotted import with another name": (
        {"kernels/cpu.py": "import qprobe.layers.w8a8 as layer\n"},
        "qprobe/kernels/cpu.py:1: imports qprobe.layers.w8a8, which is not below kernels",
    ),
    "import_module of a literal": (
        {"apply/run.py": 'import importlib\n\nx = importlib.import_module("qprobe.policy")\n'},
        "qprobe/apply/run.py:3: imports qprobe.policy, which is not below apply",
    ),
    "import_module by keyword": (
        {
            "apply/run.py": 'from importlib import import_module\n\nimport_module(name="qprobe.cli")\n'
        },
        "qprobe/apply/run.py:3: imports qprobe.cli, which is not below apply",
    ),
    "__import__ of an outside world": (
        {"apply/run.py": '__import__("cupy")\n'},
        "qprobe/apply/run.py:1: imports cupy, which only qprobe.kernels.cuda.loader may",
    ),
    "import_module of a computed name": (
        {"apply/run.py": 'import importlib\n\nimportlib.import_module("qprobe." + "cli")\n'},
        "qprobe/apply/run.py:3: imports a module by a computed name",
    ),
    "import_module under another name": (
        {"apply/run.py": 'from importlib import import_module as load\n\nload("qprobe.policy")\n'},
        "qprobe/apply/run.py:1: imports a module by a computed name",
    ),
    "import_module as a value": (
        {"apply/run.py": "import importlib\n\nload = importlib.import_module\n"},
        "qprobe/apply/run.py:3: imports a module by a computed name",
    ),
    "inside a function": (
        {"layers/w8a16.py": "def f():\n    from qprobe.bench import run\n"},
        "qprobe/layers/w8a16.py:2: imports qprobe.bench, which is not below layers",
    ),
    "under TYPE_CHECKING": (
        {
            "documents/model.py": "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from qprobe.layers import x\n"
        },
        "qprobe/documents/model.py:4: imports qprobe.layers, which is not below documents",
    ),
    "a relative import": (
        {"layers/w8a16.py": "from . import w8a8\n"},
        "qprobe/layers/w8a16.py:1: imports by a relative name",
    ),
    "a relative import_module": (
        {"apply/run.py": 'import importlib\n\nimportlib.import_module(".x", "qprobe.apply")\n'},
        "qprobe/apply/run.py:3: imports by a relative name",
    ),
    "another door of the same package": (
        {"probe/gpu.py": "import pynvml\n"},
        "qprobe/probe/gpu.py:1: imports pynvml, which only qprobe.probe.nvml may",
    ),
    "a module whose name begins like a door": (
        {"probe/nvml_extra.py": "from pynvml import nvmlInit\n"},
        "qprobe/probe/nvml_extra.py:1: imports pynvml, which only qprobe.probe.nvml may",
    ),
    "transformers in the applying leg": (
        {"apply/run.py": "import transformers.models\n"},
        "qprobe/apply/run.py:1: imports transformers, which only qprobe.checkpoint.loading"
        " and qprobe.checkpoint.text and qprobe.interop may",
    ),
    "torch in the policy": (
        {"policy/solver.py": "import torch\n"},
        "qprobe/policy/solver.py:1: imports torch, which qprobe.policy may not",
    ),
    "torch in a check": (
        {"doctor/checks/driver.py": "from torch import cuda\n"},
        "qprobe/doctor/checks/driver.py:1: imports torch, which qprobe.doctor.checks may not",
    ),
    "numpy in a document": (
        {"documents/plan.py": "import numpy as np\n"},
        "qprobe/documents/plan.py:1: imports numpy, which qprobe.documents may not",
    ),
    "a check asks the runner": (
        {"doctor/checks/driver.py": "import qprobe.doctor\n"},
        "qprobe/doctor/checks/driver.py:1: imports qprobe.doctor, but qprobe.doctor.checks is pure",
    ),
    "the policy times something": (
        {"policy/solver.py": "from qprobe.timing import progress\n"},
        "qprobe/policy/solver.py:1: imports qprobe.timing, but qprobe.policy is pure",
    ),
    "rendering asks the doctor": (
        {"render/plan.py": "from qprobe.doctor import CHECKS\n"},
        "qprobe/render/plan.py:1: imports qprobe.doctor, but qprobe.render is pure",
    ),
    "an unranked file": (
        {"helpers.py": ""},
        "qprobe/helpers.py: qprobe.helpers is not ranked",
    ),
    "an unranked package": (
        {"zoo/lion.py": ""},
        "qprobe/zoo/lion.py: qprobe.zoo.lion is not ranked",
    ),
    "an import of what is not ranked": (
        {"cli/plan.py": "from qprobe.zoo import lion\n"},
        "qprobe/cli/plan.py:1: imports qprobe.zoo, which is not ranked",
    ),
}


def plant(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "qprobe"
    for name, source in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(source)
    return package


def test_the_package_keeps_its_rows():
    assert find_violations(PACKAGE) == []


def test_a_clean_tree_passes(tmp_path):
    assert find_violations(plant(tmp_path, CLEAN)) == []


@pytest.mark.parametrize(("files", "complaint"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_refused_by_name(tmp_path, files, complaint):
    assert find_violations(plant(tmp_path, CLEAN | files)) == [complaint]


APPLYING_LEG = """
import importlib.abc
import sys

ABSENT = {absent!r}


class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == a or name.startswith(a + ".") for a in ABSENT):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Absent())

{code}

loaded = [name for name in sys.modules if name in ABSENT]
assert not loaded, loaded
"""

ABSENT = (
    *("pynvml", "click", "cupy", "rich", "scipy"),
    *("qprobe.probe", "qprobe.bench", "qprobe.policy", "qprobe.sensitivity"),
    *("qprobe.doctor", "qprobe.render", "qprobe.flow", "qprobe.cli"),
)


def run_without(absent: tuple[str, ...], code: str, folder: Path) -> None:
    """Run `code` in a process of its own where the modules `absent` cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", APPLYING_LEG.format(absent=absent, code=code)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_absent_are_absent(tmp_path):
    code = "try:\n    import qprobe.policy\nexcept ModuleNotFoundError:\n    pass\nelse:\n    raise SystemExit('imported')"
    run_without(ABSENT, code, tmp_path)


@pytest.mark.parametrize("name", ["load_plan", "apply_plan", "receipt_of", "load_document", "Plan"])
def test_the_applying_leg_imports_without_the_deciding_one(tmp_path, name):
    run_without(ABSENT, f"import qprobe\n\nqprobe.{name}", tmp_path)


APPLY = """
import torch
import qprobe

module = torch.nn.Sequential(torch.nn.Linear(32, 64))
qprobe.apply_plan(qprobe.load_plan("plan.json"), module)
assert module(torch.ones(2, 32)).shape == (2, 64)
assert [layer.scheme for layer in qprobe.receipt_of(module).layers] == ["W8A8"]
"""


def test_a_plan_is_applied_without_the_deciding_leg(tmp_path):
    facts = model([linear("0.weight", n=64, k=32)])
    save_document(plan_for(facts, decide()), tmp_path / "plan.json")
    run_without(ABSENT, APPLY, tmp_path)
