"""Finds a layer in a plan, and why it was decided so."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Literal

from qprobe.documents.base import TopDocument
from qprobe.documents.files import load_document
from qprobe.documents.plan import Assignment, GroupPlan, Plan
from qprobe.errors import InputError


class Explanation(TopDocument):
    """The decision for one fusion group, on each device that the plan has a section for."""

    document: Literal["explanation"] = "explanation"
    plan_hash: str
    model: str
    group: str
    tensors: tuple[Assignment, ...]
    decisions: dict[str, GroupPlan]
    """Slug of the device → what was decided there."""


def read_plan(path: Path) -> Plan:
    """The plan in a file; raises InputError naming the file and the field."""
    return load_document(Plan, path)


def explain(plan: Plan, layer: str) -> Explanation:
    """Why the group that `layer` names was decided so.

    `layer` is a tensor, a group, or a fragment of names that all belong to one group. Raises
    InputError with what is near, where it names none or several.
    """
    group = _find_group(plan, layer)
    return Explanation(
        plan_hash=plan.content_hash(),
        model=plan.model.name,
        group=group,
        tensors=tuple(item for item in plan.assignments if item.group == group),
        decisions={slug: section.groups[group] for slug, section in plan.targets.items()},
    )


def _find_group(plan: Plan, layer: str) -> str:
    groups = {item.tensor: item.group for item in plan.assignments}
    groups |= {group: group for group in groups.values()}
    if layer in groups:
        return groups[layer]
    found = sorted({group for name, group in groups.items() if layer and layer in name})
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
        raise InputError(
            f"{layer!r} is in the names of {len(found)} groups: {shown}", "give more of the name"
        )
    near = difflib.get_close_matches(layer, groups, n=3, cutoff=0.5)
    hint = f"near it: {', '.join(near)}" if near else "qprobe explain PLAN lists the layers"
    raise InputError(f"the plan has no layer {layer!r}", hint)
