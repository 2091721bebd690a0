"""A change whose error is unknown is not made."""

from __future__ import annotations

from qprobe.policy.candidates import Candidate
from qprobe.policy.context import Context, Rule


def _objections(candidate: Candidate, context: Context) -> tuple[str, ...]:
    if candidate.power is not None or context.errors.is_out_of_reach(candidate.group):
        return ()
    kind = candidate.scheme.name
    if candidate.algorithm != "none":
        kind += f" by {candidate.algorithm}"
    return (f"its error under {kind} is not known",)


RULE = Rule("known_error", _objections)
