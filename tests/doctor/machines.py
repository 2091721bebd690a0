"""The machines that the checks are tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qprobe.documents.files import load_document
from qprobe.documents.machine import Machine

FOLDER = Path(__file__).parents[1] / "machines"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def load(name: str) -> Machine:
    return load_document(Machine, FOLDER / f"{name}.json")


def with_software(machine: Machine, **changes: Any) -> Machine:
    software = machine.software.model_copy(update=changes)
    return machine.model_copy(update={"software": software})


def with_torch(machine: Machine, **changes: Any) -> Machine:
    assert machine.software.torch is not None
    return with_software(machine, torch=machine.software.torch.model_copy(update=changes))


def with_cpu(machine: Machine, **changes: Any) -> Machine:
    return machine.model_copy(update={"cpu": machine.cpu.model_copy(update=changes)})


def with_packages(machine: Machine, **versions: str | None) -> Machine:
    """Add or, by None, remove distributions; underscores stand for dashes."""
    packages = dict(machine.software.packages)
    for name, version in versions.items():
        packages.pop(name.replace("_", "-"), None)
        if version is not None:
            packages[name.replace("_", "-")] = version
    return with_software(machine, packages=packages)
