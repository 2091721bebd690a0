"""A pinned group has the scheme that the user named."""

from __future__ import annotations

from qprobe.policy.candidates import Candidate
from qprobe.policy.context import Context, Rule


def _objections(candidate: Candidate, context: Context) -> tuple[str, ...]:
    pin = context.objective.pinned.get(candidate.group)
    name = candidate.scheme.name
    is_bf16_already = name == "NONE" and candidate.compute_dtype == "bfloat16"
    if pin is None or pin == name or (pin == "BF16" and is_bf16_already):
        return ()
    return (f"the group is pinned to {pin}",)


RULE = Rule("pinned", _objections)
