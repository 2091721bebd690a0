"""The decision in one or two sentences, and what should be known besides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qprobe.documents.plan import Alternative, Predicted
from qprobe.policy import words
from qprobe.policy.context import judge
from qprobe.policy.decide import Decision
from qprobe.policy.error import is_cast
from qprobe.policy.problem import RULES, Problem


def summarise(
    problem: Problem,
    decision: Decision,
    predicted: Predicted,
    alternatives: Sequence[Alternative],
) -> str:
    """What to do, then what it brings against the model as stored."""
    return f"{_advise(problem, decision)} {_weigh(problem, predicted, alternatives)}"


def _advise(problem: Problem, decision: Decision) -> str:
    picks = decision.choice.picks.values()
    dtype, stored = decision.choice.compute_dtype, problem.model.dtype
    counts = Counter(pick.scheme.name for pick in picks if pick.rounds)
    if not counts:
        if dtype == stored:
            return "Keep the model as it is: nothing is faster here within the limits."
        verb = "cast" if is_cast(stored, dtype) else "widen"
        return f"Do not quantize: {verb} the model to {dtype}."
    changed = sum(counts.values())
    which = "every group" if changed == len(picks) else f"{changed} of {len(picks)} groups"
    if len(counts) == 1:
        return f"Quantize {which} to {next(iter(counts))}, and compute in {dtype}."
    parts = " and ".join(f"{count} to {name}" for name, count in sorted(counts.items()))
    return f"Quantize {which}, {parts}, and compute in {dtype}."


def _weigh(problem: Problem, predicted: Predicted, alternatives: Sequence[Alternative]) -> str:
    stored = next((a for a in alternatives if a.name in ("NONE", "FP32") and a.predicted), None)
    time = words.seconds(predicted.seconds.value)
    size = words.size(predicted.weight_bytes.value)
    limit = words.error(problem.objective.error_limit.value)
    parts = [f"{time} a request ({words.provenance(predicted.seconds)})", f"{size} of weights"]
    if stored and stored.predicted and stored.why != "chosen":
        before = stored.predicted
        name = "as stored" if stored.name == "NONE" else "in float32"
        if predicted.seconds.value:
            speedup = before.seconds.value / predicted.seconds.value
            parts[0] = (
                f"{speedup:.2f} times the speed of the model {name}, {time} against "
                f"{words.seconds(before.seconds.value)} a request "
                f"({words.provenance(predicted.seconds, before.seconds)})"
            )
        parts[1] += f" against {words.size(before.weight_bytes.value)}"
    if predicted.error is not None:
        found = words.error(predicted.error.value)
        parts.append(f"error {found} of at most {limit}")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def list_warnings(problem: Problem, decision: Decision, predicted: Predicted) -> tuple[str, ...]:
    """What the reader should not miss: what yielded, and what was not measured."""
    found: list[str] = []
    error = predicted.error
    if decision.error_yielded and error is not None:
        found.append(
            f"the error limit {words.error(problem.objective.error_limit.value)} yields to memory: "
            f"{words.error(error.value)} is expected, the least that fits "
            f"{words.size(problem.byte_limit())}"
        )
    slow = [
        group
        for group, pick in decision.choice.picks.items()
        if judge(pick, problem.context, RULES).discouraged
    ]
    if slow:
        found.append(f"slower than unquantized, for want of memory: {words.names(slow)}")
    if error is not None and error.method in ("prior", "weights"):
        found.append("errors are estimates from no data: calibrate to know them")
    if predicted.has_modelled_layers:
        found.append("the layers' times are modelled in part: measure these shapes to know them")
    if predicted.rest_seconds.provenance == "modelled":
        found.append("the time outside the linear layers is modelled, not measured")
    if problem.profile.interrupted:
        found.append("the profile was cut short: some cells were not measured")
    return tuple(found)
