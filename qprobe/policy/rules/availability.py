"""A scheme needs a kernel that runs here, at the rows of the request."""

from __future__ import annotations

from qprobe.policy.candidates import Candidate
from qprobe.policy.context import Context, Rule


def _objections(candidate: Candidate, _context: Context) -> tuple[str, ...]:
    return () if candidate.time is not None else candidate.missing


RULE = Rule("availability", _objections)
