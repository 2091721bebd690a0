"""Was this machine asked, and did it answer?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.documents.finding import Finding
from qprobe.documents.machine import Machine

_SHOWN = 8


def check_record(machine: Machine) -> Finding:
    """Tell a document that was written from tables from one that was probed, and what is missing."""
    if machine.origin == "tables":
        return CHECK.skip(
            "written from tables, not probed",
            "Nobody asked such a machine: its facts are those of published tables, and nothing here "
            "says how fast it is.",
        )
    missing = [f"{field}: {words}" for field, words in sorted(machine.unanswered.items())]
    if not missing:
        return CHECK.ok("every question was answered")
    count = f"{len(missing)} question{'s' if len(missing) > 1 else ''}"
    more = f"; and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return CHECK.ok(f"{count} unanswered", f"{'; '.join(missing[:_SHOWN])}{more}.")


CHECK = Check(
    id="record",
    title="Facts",
    why="what could not be read is left out, never guessed",
    needs=(),
    asks=("facts",),
    run=check_record,
)
