"""`qprobe explain`: why a plan is as it is."""

from __future__ import annotations

from pathlib import Path

import click

from qprobe.cli.answer import answer
from qprobe.cli.options import answer_options


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.argument("layer", required=False)
@answer_options
def explain(plan_file: Path, layer: str | None, as_json: bool, output: Path | None) -> int:
    """Show why each layer of PLAN has its scheme, and no other.

    LAYER limits it to one: a tensor, a group, or a part of a name that only one group has.
    """
    from qprobe.flow import explain as flow
    from qprobe.render.explain import explanation_text
    from qprobe.render.plan import plan_text

    plan = flow.read_plan(plan_file)
    if layer is None:
        answer(plan, lambda width, color: plan_text(plan, width, color, True), as_json, output)
        return 0
    found = flow.explain(plan, layer)
    answer(
        found,
        lambda width, color: explanation_text(plan, found.group, width, color),
        as_json,
        output,
    )
    return 0
