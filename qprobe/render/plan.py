"""The plan as a page of text: the decision, what each kind of layer becomes, and the losers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from qprobe.documents.objective import Objective
from qprobe.documents.plan import Plan, Predicted, Section
from qprobe.render.folding import FoldedRow, fold_groups
from qprobe.render.page import DEFAULT_WIDTH, bullets, indent, pairs, render, table, words
from qprobe.render.units import (
    format_bytes,
    format_error,
    format_quantity,
    format_seconds,
    format_uncertainty,
)


def plan_text(
    plan: Plan, width: int = DEFAULT_WIDTH, color: bool = False, full: bool = False
) -> str:
    """The plan for each device, the primary one first; `full` adds why each scheme was rejected."""
    blocks: list[RenderableType] = []
    for section in sections_of(plan):
        if blocks:
            blocks.append(words(""))
        blocks += _section(plan, section, full)
    return render(blocks, width, color)


def sections_of(plan: Plan) -> tuple[Section, ...]:
    """The sections, the primary one first."""
    others = (section for slug, section in sorted(plan.targets.items()) if slug != plan.primary)
    return (plan.targets[plan.primary], *others)


def request_of(objective: Objective) -> str:
    """The request that the time is of: 1 × 128 tokens, then 64 generated."""
    generated = f", then {objective.generate} generated" if objective.generate else ""
    return f"{objective.batch} × {objective.prompt} tokens{generated}, {objective.launch}"


def limits_of(objective: Objective) -> str:
    """The limits, and whether they give way."""
    limit = objective.error_limit
    strength = "hard" if limit.hard else "soft: the memory limit goes first"
    memory = (
        "the device's free memory less a reserve"
        if objective.memory_limit_bytes is None
        else format_bytes(objective.memory_limit_bytes)
    )
    return f"error ≤ {format_error(limit.value)} ({strength}), memory ≤ {memory}"


def expectation_of(predicted: Predicted, objective: Objective) -> Iterator[tuple[str, str]]:
    """What the plan expects, as names and figures with where they come from."""
    rest = format_quantity(predicted.rest_seconds, format_seconds)
    linear = format_quantity(predicted.linear_seconds, format_seconds)
    yield (
        "time",
        f"{format_quantity(predicted.seconds, format_seconds)} a request "
        f"({format_uncertainty(predicted.seconds)}): linears {linear}, the rest {rest}",
    )
    if objective.generate:
        decode = format_quantity(predicted.decode_seconds_per_token, format_seconds)
        prefill = format_quantity(predicted.prefill_seconds, format_seconds)
        yield "of it", f"prefill {prefill}, decode {decode} a token"
    weights = format_quantity(predicted.weight_bytes, format_bytes)
    yield (
        "memory",
        f"{format_quantity(predicted.memory_bytes, format_bytes)}, of it weights {weights}",
    )
    error = predicted.error
    if error is None:
        yield "error", "unknown: nothing was calibrated"
        return
    floor = (
        ""
        if error.noise_floor is None
        else f"; rounding to bf16 alone costs {format_error(error.noise_floor)}"
    )
    metric = error.metric.replace("_", " ")
    yield "error", f"{format_error(error.value)} of the {metric}, {error.method}{floor}"


def alternatives_of(section: Section) -> Iterator[tuple[str, str, str, str, str, str]]:
    """The plan itself, then each alternative: name, time, weights, memory, error, and why not."""
    yield ("this plan", *_figures(section.predicted), "chosen")
    for item in section.alternatives:
        figures = ("–", "–", "–", "–") if item.predicted is None else _figures(item.predicted)
        why = item.why if item.feasible else f"not feasible: {item.why}"
        yield (item.name, *figures, why)


ALTERNATIVE_HEADERS = ("plan", "time", "weights", "memory", "error", "why")


def _figures(predicted: Predicted) -> tuple[str, str, str, str]:
    return (
        format_quantity(predicted.seconds, format_seconds),
        format_quantity(predicted.weight_bytes, format_bytes),
        format_quantity(predicted.memory_bytes, format_bytes),
        "unknown" if predicted.error is None else format_error(predicted.error.value),
    )


def _section(plan: Plan, section: Section, full: bool) -> list[RenderableType]:
    device, rows = section.fingerprint, fold_groups(plan, section)
    facts = [
        ("model", f"{plan.model.name} ({plan.model.architecture}, {plan.model.linears} linears)"),
        ("device", f"{device.slug}: {device.name}, {device.units} {units_of(section)}"),
        ("request", request_of(plan.objective)),
        ("limits", limits_of(plan.objective)),
        *expectation_of(section.predicted, plan.objective),
    ]
    blocks: list[RenderableType] = [words(section.summary, "bold"), words(""), pairs(facts)]
    blocks += [words(f"warning: {warning}", "yellow") for warning in section.warnings]
    blocks += [words(""), _layers(rows), words("Why", "bold")]
    for row in rows:
        rejected = row.decision.rejected
        if row.decision.scheme.weights is None and rejected and not full:
            # What is left as it is needs no figures but the one that spoke against the last scheme.
            why = (
                f"{row.label}: {row.scheme}, not {rejected[-1].scheme}: {rejected[-1].reasons[-1]}"
            )
            blocks.append(indent(words(why), 2))
            continue
        blocks.append(indent(words(heading_of(row)), 2))
        blocks.append(indent(bullets(row.decision.reasons), 4))
        if full and row.decision.rejected:
            lines = (
                f"not {item.scheme}: {'; '.join(item.reasons)}" for item in row.decision.rejected
            )
            blocks.append(indent(bullets(lines), 4))
    blocks += [
        words("\nAlternatives, by the same numbers", "bold"),
        table(ALTERNATIVE_HEADERS, alternatives_of(section), right=(1, 2, 3, 4)),
    ]
    return blocks


def _layers(rows: Sequence[FoldedRow]) -> RenderableType:
    headers = ("layers", "", "N×K", "scheme", "kernel", "weights")
    cells = (
        (row.label, f"×{len(row.groups)}", row.shapes, row.scheme, row.kernels, row.weight_bytes)
        for row in rows
    )
    # A shape is read as well on two lines.
    return table(headers, cells, right=(5,), firm=(0, 1, 4))


def units_of(section: Section) -> str:
    """What the device's units are called."""
    return "usable cores" if section.fingerprint.kind == "cpu" else "SMs"


def heading_of(row: FoldedRow) -> str:
    """Which layers became what, and by which algorithm."""
    how = "" if row.algorithm == "none" else f" by {row.algorithm}"
    example = "" if row.has_one_story else f", such as {row.groups[0]}"
    return f"{row.label}: {row.scheme}{how}{example}"
