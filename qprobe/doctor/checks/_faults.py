"""Words the known faults that a machine has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import describe_kind, device_of, kinds, torch_command
from qprobe.doctor.rules.cost import tell_cost
from qprobe.doctor.rules.faults import SUITING_TORCH, Hit
from qprobe.doctor.rules.hardware import native_on
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine


def report(check: Check, hits: Sequence[Hit], machine: Machine) -> Finding:
    """The first fault in full; of the others, what they are and how each is mended."""
    first, *others = found = _unlike(hits)
    more = "".join(f"\nBesides: {_sentence(hit, machine)}" for hit in others)
    told = _with_ways_of_their_own(found)
    commands: dict[str, str] = {}
    for command, label in (pair for hit in told for pair in _commands(hit, machine)):
        commands.setdefault(command, label)
    fix = Fix(
        text=_in_order(list(dict.fromkeys(hit.fault.fix for hit in told))),
        commands=tuple(commands),
        labels=tuple(commands.values()) if any(commands.values()) else (),
        link=first.fault.source,
    )
    finding = check.fail if first.fault.status == "fail" else check.warn
    return finding(first.fault.summary, f"{fill(first, machine)}{more}", fix)


def _unlike(hits: Sequence[Hit]) -> list[Hit]:
    """Without the general rule where one for some cards has told the same."""
    found: dict[str, Hit] = {}
    for hit in hits:
        found.setdefault(hit.fault.summary, hit)
    return list(found.values())


def _with_ways_of_their_own(hits: Sequence[Hit]) -> list[Hit]:
    """Without those whose way out, other schemes, is told already."""
    told: list[Hit] = []
    for hit in hits:
        ways = hit.fault.instead
        if not ways or ways not in [other.fault.instead for other in told]:
            told.append(hit)
    return told


def fill(hit: Hit, machine: Machine, *, cost: bool = True) -> str:
    """The detail of a fault, on these cards."""
    groups = kinds(hit.gpus)
    names = " and ".join(describe_kind(group, machine) for group in groups)
    about = hit.fault.where.feature
    costs = [
        f"{group[0].name}: {told}" if len(groups) > 1 else told
        for group in groups
        if cost and (told := tell_cost(group[0], hit.fault.instead))
    ]
    words = hit.fault.detail.format(
        versions=hit.versions,
        card=names,
        native=native_on(about, *hit.gpus) if about else "",
        cost="\n".join(costs),
    )
    return "\n".join(line.strip() for line in words.splitlines()).strip()


def _in_order(fixes: Sequence[str]) -> str:
    """What to do for each fault; the first is mended first."""
    if len(fixes) == 1:
        return fixes[0]
    first, *others = fixes
    return "\n".join((f"First: {first}", *(f"Then: {other}" for other in others)))


def _commands(hit: Hit, machine: Machine) -> Iterator[tuple[str, str]]:
    """Each command with its label, for every kind of card that it is about."""
    fault = hit.fault
    for command, label in zip(
        fault.commands, fault.labels or ("",) * len(fault.commands), strict=True
    ):
        if command == SUITING_TORCH:
            if suiting := torch_command(machine):
                yield suiting, label
            continue
        devices = [device_of(group[0]) for group in kinds(hit.gpus)] or [""]
        for device in dict.fromkeys(devices):
            yield command.format(device=device) if "{device}" in command else command, label


def _sentence(hit: Hit, machine: Machine) -> str:
    return f"{hit.fault.summary}. {fill(hit, machine, cost=False)} ({hit.fault.source})"
