"""The machines that the checks are tried on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qprobe.documents.files import load_document
from qprobe.documents.machine import Int8SelfTest, Machine

FOLDER = Path(__file__).parents[1] / "machines"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


def load(name: str) -> Machine:
    return load_document(Machine, FOLDER / f"{name}.json")


SATURATES = Int8SelfTest(
    outcome="saturates", worst_relative_error=0.99, words="exact with weights of ±63 only"
)


def measured(name: str, **changes: Any) -> Machine:
    """The machine as if it had been asked, with figures that nobody measured: to try checks on."""
    machine = load(name).model_copy(update={"origin": "probed", "unanswered": {}})
    figures = {
        "copy_bandwidth_bytes_per_s": 21.4e9,
        "read_bandwidth_bytes_per_s": 31.7e9,
        "int8_self_test": SATURATES,
        "bf16_speed_ratio": 0.5,
    }
    return with_cpu(machine, **figures | changes)


def with_gpu(machine: Machine, **changes: Any) -> Machine:
    """Change the first card."""
    first, *others = machine.gpus
    return machine.model_copy(update={"gpus": (first.model_copy(update=changes), *others)})


def with_host(machine: Machine, **changes: Any) -> Machine:
    assert machine.host is not None
    return machine.model_copy(update={"host": machine.host.model_copy(update=changes)})


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
