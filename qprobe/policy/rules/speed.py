"""A change must not make a group slower than leaving it, beyond doubt of the measurements."""

from __future__ import annotations

from qprobe.policy import words
from qprobe.policy.candidates import CHANGE, Candidate
from qprobe.policy.context import Context, Rule
from qprobe.policy.quantities import high, low


def _objections(candidate: Candidate, context: Context) -> tuple[str, ...]:
    if candidate.time is None or context.objective.pinned.get(candidate.group):
        return ()
    lesser = [
        other.time.request
        for other in context.unquantized.get((candidate.group, candidate.compute_dtype), ())
        if other.time and CHANGE[other.scheme.name] < CHANGE[candidate.scheme.name]
    ]
    if not lesser:
        return ()
    mine, best = candidate.time.request, min(lesser, key=lambda time: time.value)
    if low(mine) <= high(best):
        return ()
    more = words.share(mine.value / best.value - 1) if best.value else "infinitely"
    return (
        f"{', '.join(candidate.time.used)}: {words.seconds(mine.value)} against "
        f"{words.seconds(best.value)} unquantized ({words.provenance(mine, best)}): {more} slower",
    )


RULE = Rule("speed", _objections, yields_to_memory=True)
