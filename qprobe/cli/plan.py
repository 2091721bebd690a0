"""`qprobe plan`: which scheme and kernels each layer of a model should use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from qprobe.cli.answer import answer
from qprobe.cli.border import INTERRUPTED
from qprobe.cli.options import answer_options, device_option, html_option, input_file
from qprobe.cli.talk import say, watch

if TYPE_CHECKING:
    from qprobe.documents.plan import Plan


@click.command()
@click.option(
    "--model", required=True, metavar="M", help="A directory in Hugging Face layout, or a hub id."
)
@device_option
@click.option(
    "--profile",
    "profiles",
    **input_file(multiple=True, help="Plan for the device of this profile; repeatable."),
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="Plan for this device only; repeatable.",
)
@click.option(
    "--measure",
    type=click.Choice(["auto", "never"]),
    default="auto",
    show_default=True,
    help="Measure what the cache lacks, or model it.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Sequences in a request.",
)
@click.option(
    "--prompt", type=click.IntRange(min=1), default=128, show_default=True, help="Tokens of each."
)
@click.option(
    "--generate",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Tokens to generate.",
)
@click.option(
    "--launch",
    type=click.Choice(["eager", "graph"]),
    default="eager",
    show_default=True,
    help="On a GPU: kernel by kernel, or captured in a CUDA graph.",
)
@click.option(
    "--memory", metavar="SIZE", help="Memory limit, as in 20GiB.  [default: what is free]"
)
@click.option(
    "--max-error",
    type=float,
    metavar="X",
    help="Hard limit of the relative error at the output.  [default: 0.05, soft]",
)
@click.option(
    "--calibrate", metavar="TEXT|none", help="Measure errors on this text file, or not at all."
)
@click.option(
    "--sensitivity", "sensitivity_file", **input_file(help="Read errors from this document.")
)
@html_option
@answer_options
def plan(
    model: str,
    device: str | None,
    profiles: tuple[Path, ...],
    targets: tuple[str, ...],
    measure: str,
    batch: int,
    prompt: int,
    generate: int,
    launch: str,
    memory: str | None,
    max_error: float | None,
    calibrate: str | None,
    sensitivity_file: Path | None,
    html: Path | None,
    as_json: bool,
    output: Path | None,
) -> int:
    """Decide which scheme each layer of a model should use.

    The plan says why, what else was scored, and how sure each figure is. Exits with 1 if no plan fits the limits.
    """
    from qprobe.flow import plan as flow
    from qprobe.flow.interruption import InterruptedWith
    from qprobe.flow.objective import build_objective

    how: Literal["eager", "graph"] = "graph" if launch == "graph" else "eager"
    objective = build_objective(batch, prompt, generate, memory, max_error, how)
    status = 0
    try:
        with watch() as progress:
            made = flow.plan(
                model,
                objective,
                device=device,
                profile_files=profiles,
                targets=targets,
                measure="never" if measure == "never" else "auto",
                calibrate=calibrate,
                sensitivity_file=sensitivity_file,
                progress=progress,
            )
    except InterruptedWith as interruption:
        say("interrupted: this plan models what was not measured; run again to measure the rest")
        made, status = interruption.plan, INTERRUPTED
    _show(made, profiles, html, as_json, output)
    if device is None and not profiles:
        from qprobe.kernels.device import cuda_fault

        if words := cuda_fault():
            say(f"this plan is not for the GPUs, which torch cannot use: {words}")
    return status


def _show(
    made: Plan,
    profiles: tuple[Path, ...],
    html: Path | None,
    as_json: bool,
    output: Path | None,
) -> None:
    from qprobe.render.plan import plan_text

    try:
        answer(made, lambda width, color: plan_text(made, width, color), as_json, output)
    finally:  # whatever cannot be written, the rest is
        if html is not None:
            from qprobe.documents.files import write_text
            from qprobe.flow.evidence import profiles_of_plan
            from qprobe.render.html import plan_html

            write_text(plan_html(made, profiles_of_plan(made, profiles)), html)
