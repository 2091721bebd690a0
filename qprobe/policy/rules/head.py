"""The head stays as it is unless it is pinned: its error is not averaged out by later layers."""

from __future__ import annotations

from qprobe.policy.candidates import Candidate
from qprobe.policy.context import Context, Rule
from qprobe.policy.error import has_kind


def _objections(candidate: Candidate, context: Context) -> tuple[str, ...]:
    is_head = has_kind(context.groups[candidate.group], "head")
    if is_head and candidate.rounds and candidate.group not in context.objective.pinned:
        return ("heads stay as they are unless pinned",)
    return ()


RULE = Rule("head", _objections)
