"""`qprobe verify`: does an applied plan keep what it promised."""

from __future__ import annotations

from pathlib import Path

import click

from qprobe.cli.answer import answer
from qprobe.cli.options import answer_options
from qprobe.cli.talk import watch


@click.command()
@click.option(
    "--model", required=True, metavar="M", help="A directory in Hugging Face layout, or a hub id."
)
@click.option(
    "--plan",
    "plan_file",
    required=True,
    metavar="PLAN",
    type=click.Path(path_type=Path),
    help="The plan to apply.",
)
@click.option(
    "--data",
    metavar="TEXT",
    help="Compare on this text file.  [default: a text that ships with qprobe]",
)
@answer_options
def verify(
    model: str, plan_file: Path, data: str | None, as_json: bool, output: Path | None
) -> int:
    """Apply PLAN to a model; measure its time and error.

    Beside it run the model as stored, its casts and every uniform plan, on the same inputs. Exits with 1 if the error is above its limit.
    """
    from qprobe.flow import verify as flow
    from qprobe.render.receipt import receipt_text

    with watch() as progress:
        receipt = flow.verify(model, plan_file, data, progress)
    answer(receipt, lambda width, color: receipt_text(receipt, width, color), as_json, output)
    return int(receipt.passed is False)
