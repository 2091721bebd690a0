"""Runs checks in the order of their needs; a check that breaks is a finding, not the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from graphlib import TopologicalSorter

from qprobe._discover import discover
from qprobe.doctor import checks
from qprobe.doctor._check import Check
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine
from qprobe.errors import InputError


@cache
def list_checks() -> tuple[Check, ...]:
    """Every check, each after those that it needs."""
    return in_order(discover(checks, "CHECK"))


def in_order(found: Sequence[Check]) -> tuple[Check, ...]:
    """Sort by needs, else by title; raises KeyError where a need is no check."""
    by_id = {check.id: check for check in sorted(found, key=lambda check: check.id)}
    graph = {check.id: check.needs for check in by_id.values()}
    return tuple(by_id[name] for name in TopologicalSorter(graph).static_order())


def run_checks(machine: Machine, only: Sequence[str] = ()) -> tuple[Finding, ...]:
    """What each check finds, or those in `only`; raises InputError for a name that is no check."""
    known = {check.id: check for check in list_checks()}
    for name in only:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            question = f"did you mean {close[0]}? " if close else ""
            raise InputError(
                f"there is no check {name!r:.40}", f"{question}known are {', '.join(known)}"
            )
    findings = diagnose(machine, tuple(known.values()))
    return tuple(finding for finding in findings if not only or finding.id in only)


def diagnose(machine: Machine, ordered: Sequence[Check]) -> tuple[Finding, ...]:
    """Run checks that are in the order of their needs, on the cards that the process may use."""
    usable = machine.limited_to(machine.devices) if machine.hidden else machine
    findings: dict[str, Finding] = {}
    for check in ordered:
        given = machine if check.tells_hidden else usable
        findings[check.id] = _unmet(check, findings) or _run(check, given)
    return tuple(findings.values())


def _unmet(check: Check, findings: Mapping[str, Finding]) -> Finding | None:
    for need in check.needs:
        finding = findings[need]
        if finding.status not in ("ok", "warn"):
            return check.skip(f"needs {finding.title}", f"{finding.title}: {finding.summary}")
    return None


def _run(check: Check, machine: Machine) -> Finding:
    try:
        return check.run(machine)
    except Exception as error:  # one broken check must not take the others' answers with it
        words = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(
            id=check.id,
            title=check.title,
            status="crash",
            summary="the check itself broke",
            detail=f"This is a fault of qprobe, not of the machine: {words}",
            fix=Fix(
                text="Report it, with the facts that it was given.",
                commands=("qprobe probe -o machine.json",),
            ),
        )
