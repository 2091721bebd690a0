"""What a choice is expected to cost: seconds, bytes and error, each with its provenance."""

from __future__ import annotations

from qprobe.documents.base import Quantity
from qprobe.documents.plan import Predicted
from qprobe.policy.memory import PEAK_UNCERTAINTY, other_bytes
from qprobe.policy.problem import Choice, Problem
from qprobe.policy.quantities import add


def predict(problem: Problem, choice: Choice) -> Predicted:
    """Add up a choice that can run."""
    dtype = choice.compute_dtype
    rest = problem.rest[dtype]
    times = [pick.time for pick in choice.picks.values() if pick.time is not None]
    linear_prefill = add([(1, time.prefill) for time in times])
    linear_decode = add([(1, time.decode) for time in times])
    linear = add([(1, time.request) for time in times])
    score = problem.score(choice)
    changed = {
        group: (pick.scheme.name, pick.algorithm)
        for group, pick in choice.picks.items()
        if pick.rounds
    }
    is_known = all(pick.power is not None for pick in choice.picks.values())
    stored = sum(pick.weight_bytes for pick in choice.picks.values())
    weights = _modelled(stored + other_bytes(problem.model, dtype), 0.0)
    return Predicted(
        seconds=add([(1, linear), (1, rest.request)]),
        prefill_seconds=add([(1, linear_prefill), (1, rest.prefill)]),
        decode_seconds_per_token=add([(1, linear_decode), (1, rest.decode)]),
        linear_seconds=linear,
        rest_seconds=rest.request,
        weight_bytes=weights,
        memory_bytes=add(
            [
                (1, weights),
                (1, _modelled(score.memory_bytes - weights.value, PEAK_UNCERTAINTY)),
            ]
        ),
        error=problem.errors.estimate(score.power, changed, dtype) if is_known else None,
    )


def _modelled(value: float, uncertainty: float) -> Quantity:
    return Quantity(value=value, provenance="modelled", uncertainty=uncertainty)
