"""The doctor's whole answer for this machine or for a recorded one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qprobe.documents.files import load_document
from qprobe.documents.finding import Diagnosis, Finding, Fix, Verdict
from qprobe.documents.machine import Machine
from qprobe.errors import InputError, UnavailableError
from qprobe.timing.progress import Progress, silent

if TYPE_CHECKING:
    from qprobe.doctor._method import Method


def diagnose(
    device: str | None = None,
    only: Sequence[str] = (),
    machine_file: Path | None = None,
    *,
    full: bool = False,
    personal: bool = False,
    progress: Progress = silent,
) -> Diagnosis:
    """Run checks and methods on this machine, or what can be told of the one in `machine_file`.

    Without names in `only`, all checks and the quick methods run, or with `full` all methods; each
    method in a process of its own. `device` narrows a machine with several GPUs to one of them. Names
    of persons are left out, unless `personal` says otherwise. After Ctrl-C while methods run,
    `interrupted` is set on what was found until then. Raises InputError for a name or a device that is
    not there, UnavailableError where nothing could be said.
    """
    from qprobe.doctor import run_checks, sort_names

    checks, methods = sort_names(only)
    machine = _probe(personal) if machine_file is None else load_document(Machine, machine_file)
    if device is not None:
        machine = _narrow(machine, device)
    findings = run_checks(machine, checks) if checks or not only else ()
    chosen = _choose(methods, only, full, is_recorded=machine_file is not None)
    pairs = tuple(_pairs(machine, chosen, device))
    if machine_file is None:
        tried = _try(machine, pairs, full or bool(only), progress)
    else:
        tried = _Tried(verdicts=_judge_by_rule(machine, pairs))
    findings += tried.findings
    if not (findings or tried.verdicts or tried.interrupted):
        raise UnavailableError(
            "nothing was asked, or nothing can be said of it here",
            "qprobe doctor --list tells what can be asked; methods run on the machine itself",
        )
    diagnosis = Diagnosis(
        machine=machine,
        findings=findings,
        verdicts=tried.verdicts,
        disturbed_by=tried.disturbed_by,
        interrupted=tried.interrupted,
    )
    if personal:
        return diagnosis
    from qprobe.flow.privacy import leave_out_persons

    return leave_out_persons(diagnosis)


def _probe(personal: bool) -> Machine:
    from qprobe.probe import probe_machine

    return probe_machine(personal=True) if personal else probe_machine()


def _narrow(machine: Machine, device: str) -> Machine:
    """The machine without the GPUs that were not asked about; with "cpu", without any."""
    wanted = "cuda:0" if device == "cuda" else device
    gpus = tuple(gpu for gpu in machine.gpus if f"cuda:{gpu.index}" == wanted)
    if not gpus and wanted != "cpu":
        there = ", ".join(("cpu", *(f"cuda:{gpu.index}" for gpu in machine.gpus)))
        raise InputError(f"there is no device {device} on this machine", f"there is {there}")
    kept = {name: item for name, item in machine.fingerprints.items() if name in ("cpu", wanted)}
    return machine.model_copy(update={"gpus": gpus, "fingerprints": kept})


def _choose(
    named: Sequence[str], only: Sequence[str], full: bool, *, is_recorded: bool
) -> tuple[Method, ...]:
    """The methods to try: those named; else the quick ones or all, of which a record tells by rule."""
    from qprobe.doctor import list_methods

    found = list_methods()
    if only:
        return tuple(method for method in found if method.id in named)
    if is_recorded and not full:
        return ()
    return tuple(method for method in found if full or method.level == "quick")


def _pairs(
    machine: Machine, methods: Sequence[Method], device: str | None
) -> Iterator[tuple[Method, str]]:
    """Each method on each device that it is for; on a GPU that was asked for, on no other."""
    from qprobe.doctor import devices_of

    for name in devices_of(machine):
        if device in (None, "cpu") or name != "cpu":
            yield from ((m, name) for m in methods if name.partition(":")[0] in m.devices)


@dataclass(frozen=True)
class _Tried:
    """What came of trying methods."""

    verdicts: tuple[Verdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    """That methods cannot be tried at all, where that is so."""
    disturbed_by: str = ""
    interrupted: bool = False


def _try(
    machine: Machine, pairs: Sequence[tuple[Method, str]], is_full: bool, progress: Progress
) -> _Tried:
    """The verdicts by execution, and what disturbed them."""
    if not pairs:
        return _Tried()
    from qprobe.doctor import Trying, advise
    from qprobe.doctor.execution.disturbance import disturbance, read_load

    before, found, interrupted = read_load(), [], False
    failure: tuple[Finding, ...] = ()
    try:
        with Trying(machine, is_full=is_full) as trying:
            for number, (method, device) in enumerate(pairs):
                progress(f"{method.id} on {device}", number / len(pairs))
                found.append(trying.verdict(method, device))
    except KeyboardInterrupt:
        interrupted = True
    except UnavailableError as error:
        fix = Fix(text=f"{error.hint or 'try again'}; the checks need no other process.")
        failure = (
            Finding(id="methods", title="Methods", status="fail", summary=str(error), fix=fix),
        )
    verdicts = advise(found, {method.id: method for method, _ in pairs}, machine)
    disturbed_by = disturbance(before, read_load(), os.cpu_count() or 1)
    return _Tried(verdicts, failure, disturbed_by, interrupted)


def _judge_by_rule(machine: Machine, pairs: Sequence[tuple[Method, str]]) -> tuple[Verdict, ...]:
    from qprobe.doctor import advise, by_rule

    found = (by_rule(method, device, machine) for method, device in pairs)
    known = [verdict for verdict in found if verdict is not None]
    return advise(known, {method.id: method for method, _ in pairs}, machine)
