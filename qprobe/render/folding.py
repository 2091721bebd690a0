"""Folds the equal decisions of a plan's many layers into a few rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qprobe.documents.plan import Assignment, GroupPlan, KernelRange, Plan, Section
from qprobe.render.units import format_bytes

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)|^\d+(?=\.)")


@dataclass(frozen=True)
class FoldedRow:
    """Groups of one kind with one decision."""

    label: str
    """The groups' common name, numbers as *, without what all rows begin with."""
    groups: tuple[str, ...]
    shapes: str
    """N×K of the layers of one group."""
    scheme: str
    algorithm: str
    kernels: str
    weight_bytes: str
    """Of all the groups."""
    decision: GroupPlan
    """Of the first group."""
    has_one_story: bool
    """Whether all the groups have the same reasons, word for word."""


def fold_groups(plan: Plan, section: Section) -> tuple[FoldedRow, ...]:
    """One row a kind of group and decision, in the checkpoint's order."""
    members: dict[str, list[Assignment]] = {}
    for assignment in plan.assignments:
        members.setdefault(assignment.group, []).append(assignment)
    folded: dict[tuple[str, ...], list[str]] = {}
    for group, tensors in members.items():
        decision = section.groups[group]
        kernels = kernels_by_m(decision.kernels)
        key = (kind_of(group), decision.scheme.name, decision.algorithm, kernels, _shapes(tensors))
        folded.setdefault(key, []).append(group)
    labels = _shorten([key[0] for key in folded])
    return tuple(
        _row(label, key, groups, section.groups)
        for label, (key, groups) in zip(labels, folded.items(), strict=True)
    )


def _row(
    label: str,
    key: tuple[str, ...],
    groups: Sequence[str],
    decisions: Mapping[str, GroupPlan],
) -> FoldedRow:
    first = decisions[groups[0]]
    _, scheme, algorithm, kernels, shapes = key
    return FoldedRow(
        label=label,
        groups=tuple(groups),
        shapes=shapes,
        scheme=scheme,
        algorithm=algorithm,
        kernels=kernels,
        weight_bytes=weight_bytes_of([decisions[group] for group in groups]),
        decision=first,
        has_one_story=all(decisions[group].reasons == first.reasons for group in groups),
    )


def kind_of(group: str) -> str:
    """The group's name with its numbers as *, so that layers of one kind read alike."""
    return _NUMBER.sub("*", group.removesuffix(".weight"))


def weight_bytes_of(decisions: Sequence[GroupPlan]) -> str:
    """What the weights of groups take, every expert's; "unknown" where it was not predicted.

    An assignment cannot tell it: one stands for all the experts, and does not say how many.
    """
    predictions = [item.predicted for item in decisions]
    known = [item.weight_bytes for item in predictions if item is not None]
    return format_bytes(sum(known)) if len(known) == len(predictions) else "unknown"


def kernels_by_m(kernels: Sequence[KernelRange]) -> str:
    """The kernels with their ranges, "a (M ≤ 8), b (M ≥ 9)"; alone, only its name."""
    if len(kernels) == 1:
        return kernels[0].kernel
    return ", ".join(f"{item.kernel} ({range_of_m(item)})" for item in kernels)


def range_of_m(item: KernelRange) -> str:
    """M ≤ 8; 9 ≤ M ≤ 64; M ≥ 65; any M."""
    if item.m_max is None:
        return "any M" if item.m_min == 1 else f"M ≥ {item.m_min}"
    if item.m_min == item.m_max:
        return f"M = {item.m_min}"
    return f"M ≤ {item.m_max}" if item.m_min == 1 else f"{item.m_min} ≤ M ≤ {item.m_max}"


def _shapes(tensors: Sequence[Assignment]) -> str:
    counts: dict[str, int] = {}
    for item in tensors:
        shape = f"{item.n}×{item.k}"
        counts[shape] = counts.get(shape, 0) + 1
    return ", ".join(
        shape if count == 1 else f"{count} of {shape}" for shape, count in counts.items()
    )


def _shorten(names: Sequence[str]) -> list[str]:
    """The names without the dotted beginning that all of those with a number share."""
    numbered = [name.split(".") for name in names if "*" in name.split(".")]
    shared = 0
    for parts in zip(*numbered, strict=False):
        if len(set(parts)) > 1 or any(len(name) == shared + 1 for name in numbered):
            break
        shared += 1
    return [
        ".".join(name.split(".")[shared:]) if "*" in name.split(".") else name for name in names
    ]
