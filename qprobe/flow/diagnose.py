"""The doctor's whole answer for this machine or for a recorded one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qprobe.documents.files import load_document
from qprobe.documents.finding import Diagnosis
from qprobe.documents.machine import Machine
from qprobe.errors import InputError, UnavailableError


def diagnose(
    device: str | None = None, only: Sequence[str] = (), machine_file: Path | None = None
) -> Diagnosis:
    """Run the checks named in `only`, or all, on this machine or on the one in `machine_file`.

    `device` narrows a machine with several GPUs to one of them. Raises InputError for a check or a
    device that is not there.
    """
    from qprobe.doctor import run_checks

    machine = _probe() if machine_file is None else load_document(Machine, machine_file)
    if device is not None:
        machine = _narrow(machine, device)
    findings = run_checks(machine, tuple(only))
    if not findings:
        raise UnavailableError("there is no check to run", "install qprobe again")
    return Diagnosis(machine=machine, findings=findings, verdicts=())


def _probe() -> Machine:
    from qprobe.probe import probe_machine

    return probe_machine()


def _narrow(machine: Machine, device: str) -> Machine:
    """The machine without the GPUs that were not asked about; with "cpu", without any."""
    wanted = "cuda:0" if device == "cuda" else device
    gpus = tuple(gpu for gpu in machine.gpus if f"cuda:{gpu.index}" == wanted)
    if not gpus and wanted != "cpu":
        there = ", ".join(("cpu", *(f"cuda:{gpu.index}" for gpu in machine.gpus)))
        raise InputError(f"there is no device {device} on this machine", f"there is {there}")
    kept = {name: item for name, item in machine.fingerprints.items() if name in ("cpu", wanted)}
    return machine.model_copy(update={"gpus": gpus, "fingerprints": kept})
