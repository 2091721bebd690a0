"""Words the known faults that a machine has."""

from __future__ import annotations

from collections.abc import Sequence

from qprobe.doctor._check import Check
from qprobe.doctor.rules.cost import tell_cost
from qprobe.doctor.rules.faults import Hit
from qprobe.doctor.rules.hardware import native_on
from qprobe.documents.finding import Finding, Fix


def report(check: Check, hits: Sequence[Hit]) -> Finding:
    """The first fault in full; of the others, what they are and how each is mended."""
    first, *others = hits
    more = "".join(f"\nBesides: {_sentence(hit)}" for hit in others)
    # What has the same way out has it said already.
    told = [first, *(hit for hit in others if hit.fault.instead != first.fault.instead)]
    commands = [command for hit in told for command in hit.fault.commands]
    fix = Fix(
        text="\n".join(dict.fromkeys(hit.fault.fix for hit in told)),
        commands=tuple(dict.fromkeys(commands)),
        link=first.fault.source,
    )
    finding = check.fail if first.fault.status == "fail" else check.warn
    return finding(first.fault.summary, f"{_fill(first)}{more}", fix)


def _sentence(hit: Hit) -> str:
    return f"{hit.fault.summary}. {_fill(hit, cost=False)} ({hit.fault.source})"


def _fill(hit: Hit, *, cost: bool = True) -> str:
    words = hit.fault.detail.format(
        versions=hit.versions,
        card=hit.gpu.name if hit.gpu else "",
        native=native_on(hit.fault.where.lacks) if hit.fault.where.lacks else "",
        cost=tell_cost(hit.gpu, hit.fault.instead) if cost and hit.gpu else "",
    )
    return "\n".join(line.strip() for line in words.splitlines()).strip()
