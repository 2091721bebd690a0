"""`qprobe bench`: how long each way to compute a linear takes here."""

from __future__ import annotations

import re
from pathlib import Path

import click

from qprobe.cli.answer import answer
from qprobe.cli.border import FAILED, INTERRUPTED
from qprobe.cli.options import answer_options, device_option
from qprobe.cli.talk import say, watch

_LARGEST = 2**20


def parse_shapes(
    _ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[int, int], ...]:
    """NxK, such as 3072x768 for a linear from 768 features to 3072 → (N, K)."""
    return tuple(_parse_shape(parameter, value) for value in values)


def _parse_shape(parameter: click.Parameter, value: str) -> tuple[int, int]:
    n, _, k = value.lower().partition("x")
    if not (_is_size(n) and _is_size(k)):
        message = f"{value!r} is not NxK with both from 1 to {_LARGEST}, as in 3072x768"
        raise click.BadParameter(message, param=parameter)
    return int(n), int(k)


def parse_rows(_ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Numbers separated by commas → the distinct ones in ascending order."""
    parts = value.split(",")
    if not all(map(_is_size, parts)):
        message = f"{value!r} is not a list of M from 1 to {_LARGEST}, as in 1,8,32"
        raise click.BadParameter(message, param=parameter)
    return tuple(sorted({int(part) for part in parts}))


def _is_size(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,7}", text) is not None and 1 <= int(text) <= _LARGEST


@click.command()
@device_option
@click.option(
    "--model", metavar="M", help="Measure the shapes of this model: a directory or a hub id."
)
@click.option(
    "--shape",
    "shapes",
    metavar="NxK",
    callback=parse_shapes,
    multiple=True,
    help="Measure this shape; repeatable.",
)
@click.option(
    "--m",
    metavar="M,M",
    callback=parse_rows,
    default="1,8,32,128,512",
    show_default=True,
    help="Rows of x.",
)
@answer_options
def bench(
    device: str | None,
    model: str | None,
    shapes: tuple[tuple[int, int], ...],
    m: tuple[int, ...],
    as_json: bool,
    output: Path | None,
) -> int:
    """Measure how fast each kernel is here.

    Each is verified before it is timed. Without --model or --shape, the shapes of BERT-base. Ctrl-C keeps what was measured. Exits with 3
    if nothing was.
    """
    if model is not None and shapes:
        raise click.UsageError("--model and --shape were both given: choose one.")
    from qprobe.flow import bench as flow
    from qprobe.render.profile import profile_text

    with watch() as progress:
        profile = flow.bench(device, model, shapes, m, progress)
    if model is None and not shapes:
        say("neither --model nor --shape was given: these are the shapes of BERT-base")
    answer(profile, lambda width, color: profile_text(profile, width, color), as_json, output)
    if profile.interrupted:
        return INTERRUPTED
    return 0 if profile.measurements else FAILED
