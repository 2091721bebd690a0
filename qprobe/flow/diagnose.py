"""The doctor's whole answer for this machine or for a recorded one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qprobe.documents.files import load_document
from qprobe.documents.finding import Diagnosis, Verdict
from qprobe.documents.machine import Machine
from qprobe.errors import InputError, UnavailableError
from qprobe.flow.methods import Tried, try_methods
from qprobe.timing.progress import Progress, silent

if TYPE_CHECKING:
    from qprobe.doctor._method import Method

RUN_S, GPU_S = 10.0, 10.0
"""What a run without names may take, and as much more for each kind of GPU."""
MOST_BYTES = 3 * 2**25
"""What it may take to measure bandwidth on: the rest of its 400 MB is torch."""


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
    from qprobe.doctor import questions_for, run_checks, sort_names

    start, interrupted = time.monotonic(), False
    checks, methods = sort_names(only)
    if machine_file is not None:
        machine = load_document(Machine, machine_file)
    else:
        wanted = questions_for(checks, bool(methods or device)) if only else None
        try:
            machine = _probe(personal, wanted, None if only or full else MOST_BYTES)
        except KeyboardInterrupt:  # what the system tells at once is there in no time
            machine, interrupted = _probe(personal, (), None), True
    if device is not None:
        machine = _narrow(machine, device)
    if interrupted:
        checks = tuple(
            name for name in checks or _all_checks() if not questions_for((name,), False)
        )
    findings = run_checks(machine, checks) if checks or not (only or interrupted) else ()
    chosen = _choose(methods, only, full, is_recorded=machine_file is not None)
    pairs = tuple(_pairs(machine, chosen, device))
    misplaced = _misplaced(chosen if only else (), pairs, machine, device)
    if machine_file is not None:
        tried = Tried(verdicts=_judge_by_rule(machine, pairs))
    elif interrupted:
        tried = Tried(interrupted=True)
    else:
        kinds = len({name for _, name in pairs} - {"cpu"})
        tried = try_methods(
            machine,
            pairs,
            is_full=full or bool(only),
            end=None if only or full else start + RUN_S + GPU_S * kinds,
            names=personal,
            progress=progress,
        )
    tried = replace(tried, verdicts=(*tried.verdicts, *misplaced))
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


def _all_checks() -> tuple[str, ...]:
    from qprobe.doctor import list_checks

    return tuple(check.id for check in list_checks())


def _probe(personal: bool, questions: tuple[str, ...] | None, most_bytes: int | None) -> Machine:
    from qprobe.probe import probe_machine

    return probe_machine(personal=personal, questions=questions, most_bytes=most_bytes)


def _narrow(machine: Machine, device: str) -> Machine:
    """The machine without the GPUs that were not asked about; with "cpu", without any."""
    wanted = "cuda:0" if device == "cuda" else device
    there = ("cpu", *machine.devices)
    if wanted not in there:
        raise InputError(
            f"there is no device {device} on this machine", f"there is {', '.join(there)}"
        )
    return machine.limited_to((wanted,))


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


def _misplaced(
    named: Sequence[Method],
    pairs: Sequence[tuple[Method, str]],
    machine: Machine,
    device: str | None,
) -> tuple[Verdict, ...]:
    """Verdicts on methods that were named and are for none of the devices that were asked about."""
    from qprobe.doctor import devices_of

    placed = {method.id for method, _ in pairs}
    asked = device or ", ".join(devices_of(machine))
    return tuple(
        Verdict(
            method=method.id,
            device=_asked(device),
            verdict="unsupported",
            why=f"it is for {' and '.join(method.devices)} alone, and was asked for on {asked}",
            evidence="rule",
        )
        for method in named
        if method.id not in placed
    )


def _asked(device: str | None) -> str:
    return {None: "cpu", "cuda": "cuda:0"}.get(device, str(device))


def _judge_by_rule(machine: Machine, pairs: Sequence[tuple[Method, str]]) -> tuple[Verdict, ...]:
    from qprobe.doctor import advise, by_rule

    found = (by_rule(method, device, machine) for method, device in pairs)
    known = [verdict for verdict in found if verdict is not None]
    return advise(known, {method.id: method for method, _ in pairs}, machine)
