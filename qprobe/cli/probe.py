"""`qprobe probe`: the facts about this machine."""

from __future__ import annotations

from pathlib import Path

import click

from qprobe.cli.answer import answer
from qprobe.cli.options import answer_options


@click.command()
@answer_options
def probe(as_json: bool, output: Path | None) -> int:
    """Ask the machine for its processor, GPUs and software."""
    from qprobe.flow import probe as flow
    from qprobe.render.machine import machine_text

    machine = flow.probe()
    answer(machine, lambda width, color: machine_text(machine, width, color), as_json, output)
    return 0
