"""Tries methods on this machine, one after the other, and tells what came between."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qprobe.documents.finding import Finding, Fix, Verdict
from qprobe.documents.machine import Gpu, GpuState, Machine
from qprobe.errors import UnavailableError
from qprobe.timing.progress import Progress

if TYPE_CHECKING:
    from qprobe.doctor._method import Method

    Pair = tuple[Method, str]

LEFT_OUT_S = 2.0
"""Of the time that a run may take, what its last method and the page are given."""


@dataclass(frozen=True)
class Tried:
    """What came of trying methods."""

    verdicts: tuple[Verdict, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What kept methods from being tried."""
    disturbed_by: str = ""
    interrupted: bool = False


@dataclass
class _Run:
    """What became of the methods so far."""

    verdicts: list[Verdict] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Methods that were not started, for want of time."""
    lost: dict[str, list[str]] = field(default_factory=dict)
    """GPU that was lost → the method that ran, then those that were not tried."""


def try_methods(
    machine: Machine,
    pairs: Sequence[Pair],
    *,
    is_full: bool,
    end: float | None,
    names: bool,
    progress: Progress,
) -> Tried:
    """The verdicts by execution, and what disturbed them.

    From `LEFT_OUT_S` before `end`, by the monotonic clock, no method is started. `names` tells whose
    processes disturbed. A GPU that is lost on the way is a finding, and none of its methods is tried any more.
    """
    if not pairs:
        return Tried()
    from qprobe.doctor import Trying, advise
    from qprobe.doctor.execution.disturbance import disturbance, read_load

    # A driver that did not answer the probe may hang whoever asks again.
    cards = {} if "gpus" in machine.unanswered else machine.devices
    states = {
        device: _read_state(cards.get(device)) for device in dict.fromkeys(d for _, d in pairs)
    }
    before, run, interrupted = read_load(), _Run(), False
    failure: tuple[Finding, ...] = ()
    try:
        with Trying(machine, is_full=is_full) as trying:
            for number, (method, device) in enumerate(pairs):
                name = f"{method.id} on {device}"
                if device in run.lost:
                    run.lost[device].append(method.id)
                elif end is not None and time.monotonic() > end - LEFT_OUT_S:
                    run.late.append(name)
                else:
                    progress(name, number / len(pairs))
                    run.verdicts.append(trying.verdict(method, device))
                    if _is_lost(run.verdicts[-1], cards.get(device), states[device]):
                        run.lost[device] = [method.id]
    except KeyboardInterrupt:
        interrupted = True
    except UnavailableError as error:
        failure = (_unavailable(error),)
    verdicts = advise(run.verdicts, {method.id: method for method, _ in pairs}, machine)
    told = (
        disturbance(before, read_load(), os.cpu_count() or 1, names=names),
        *_held_back(states, cards),
    )
    findings = (*failure, *(_lost(cards[device], ids) for device, ids in run.lost.items()))
    return Tried(
        verdicts=verdicts,
        findings=(*findings, _late(run.late)) if run.late else findings,
        disturbed_by="; ".join(words for words in told if words),
        interrupted=interrupted,
    )


def _read_state(gpu: Gpu | None) -> GpuState | None:
    """What the driver says of a GPU; None of a processor, or where it says nothing."""
    if gpu is None:
        return None
    from qprobe.probe.state import read_state

    state = read_state(gpu.index)
    answers = () if state is None else (value for _, value in state)
    return state if any(value is not None for value in answers) else None


def _is_lost(verdict: Verdict, gpu: Gpu | None, before: GpuState | None) -> bool:
    """Whether the driver knew the GPU before, and does not any more, after something that may be why."""
    if before is None or not any(trial.outcome in ("died", "failed") for trial in verdict.trials):
        return False
    return _read_state(gpu) is None


def _held_back(states: Mapping[str, GpuState | None], cards: Mapping[str, Gpu]) -> list[str]:
    """Of each GPU, what made it slower or was done on it besides, before or after."""
    told = []
    for device, before in states.items():
        seen = [state for state in (before, _read_state(cards.get(device))) if state is not None]
        reasons = dict.fromkeys(reason for state in seen for reason in state.throttled or ())
        others = max((state.other_processes or 0 for state in seen), default=0)
        if reasons:
            told.append(f"{device} was slowed down ({', '.join(reasons)})")
        if others:
            told.append(f"{others} other process{'es' * (others > 1)} had work on {device}")
    return told


def _lost(gpu: Gpu, methods: Sequence[str]) -> Finding:
    number, (tried, *left) = gpu.index, methods
    return Finding(
        id="gpu-lost",
        title=f"GPU {number}",
        status="fail",
        summary=f"GPU {number} was lost during the run",
        detail=f"The driver answered for it before; since {tried} ran on it, it does not. "
        f"Not tried any more: {', '.join(left) or 'nothing, it was the last'}.",
        fix=Fix(
            text="See what the kernel says of it (Xid 79: it fell off the bus), mind heat and power, and "
            "reset it or start the machine anew.",
            commands=("dmesg | grep -i xid", f"nvidia-smi --gpu-reset -i {number}"),
        ),
    )


def _late(names: Sequence[str]) -> Finding:
    ids = dict.fromkeys(name.partition(" ")[0] for name in names)
    return Finding(
        id="methods",
        title="Methods",
        status="skip",
        summary=f"no time was left to try {', '.join(names)}",
        detail="A run without names starts none when its time is up; those that are named are tried.",
        fix=Fix(text="Have them tried.", commands=(f"qprobe doctor {' '.join(ids)}",)),
    )


def _unavailable(error: UnavailableError) -> Finding:
    fix = Fix(text=f"{error.hint or 'try again'}; the checks need no other process.")
    return Finding(id="methods", title="Methods", status="fail", summary=str(error), fix=fix)
