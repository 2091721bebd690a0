"""Why one group of layers has its scheme: the reasons, the rejected ones, the kernels by M."""

from __future__ import annotations

from rich.console import RenderableType

from qprobe.documents.plan import GroupPlan, Plan, Section
from qprobe.render.folding import range_of_m, weight_bytes_of
from qprobe.render.page import DEFAULT_WIDTH, bullets, indent, pairs, render, table, words
from qprobe.render.plan import sections_of


def explanation_text(
    plan: Plan, group: str, width: int = DEFAULT_WIDTH, color: bool = False
) -> str:
    """The decision for a fusion group on each device that the plan has a section for."""
    tensors = [item for item in plan.assignments if item.group == group]
    blocks: list[RenderableType] = [
        words(group, "bold"),
        table(
            ("tensor", "N", "K"),
            ((item.tensor, str(item.n), str(item.k)) for item in tensors),
            right=(1, 2),
        ),
    ]
    for section in sections_of(plan):
        blocks += _decision(section.groups[group], section)
    return render(blocks, width, color)


def _decision(decision: GroupPlan, section: Section) -> list[RenderableType]:
    facts = [
        ("scheme", decision.scheme.name),
        ("algorithm", decision.algorithm),
        ("weights", weight_bytes_of([decision])),
        ("compute type", section.compute_dtype),
    ]
    blocks: list[RenderableType] = [
        words(f"On {section.fingerprint.slug}", "bold"),
        indent(pairs(facts), 2),
        indent(words("kernels", "bold"), 2),
        indent(pairs((range_of_m(item), item.kernel) for item in decision.kernels), 4),
        indent(words("why", "bold"), 2),
        indent(bullets(decision.reasons or ("no reason is given",)), 4),
    ]
    for item in decision.rejected:
        blocks += [
            indent(words(f"why not {item.scheme}", "bold"), 2),
            indent(bullets(item.reasons), 4),
        ]
    return blocks
