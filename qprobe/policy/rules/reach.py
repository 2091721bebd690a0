"""A group whose error cannot be seen at the compared output stays unquantized."""

from __future__ import annotations

from qprobe.policy.candidates import Candidate
from qprobe.policy.context import Context, Rule


def _objections(candidate: Candidate, context: Context) -> tuple[str, ...]:
    if candidate.rounds and context.errors.is_out_of_reach(candidate.group):
        return (f"its error cannot be seen at the {context.errors.metric.replace('_', ' ')}",)
    return ()


RULE = Rule("reach", _objections)
