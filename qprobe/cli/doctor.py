"""`qprobe doctor`: what this machine can do, why not, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qprobe.cli.answer import answer, put
from qprobe.cli.border import FAILED, INTERRUPTED
from qprobe.cli.options import answer_options, device_option, html_option, input_file
from qprobe.cli.talk import say, watch

if TYPE_CHECKING:
    from qprobe.documents.finding import Diagnosis


@click.command()
@click.argument("names", nargs=-1, metavar="[CHECK|METHOD]...")
@device_option
@click.option("--full", is_flag=True, help="Try every method, and show every detail.")
@click.option("--machine", "machine_file", **input_file(help="Diagnose this machine document."))
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--list", "list_only", is_flag=True, help="List the checks and the methods.")
@click.option("--personal", is_flag=True, help="Keep user names, home folders and serial numbers.")
@html_option
@click.option("--markdown", is_flag=True, help="Print Markdown, to paste into a bug report.")
@answer_options
def doctor(
    names: tuple[str, ...],
    device: str | None,
    full: bool,
    machine_file: Path | None,
    strict: bool,
    list_only: bool,
    personal: bool,
    html: Path | None,
    markdown: bool,
    as_json: bool,
    output: Path | None,
) -> int:
    """Tell what this machine can do, why not, and what to do.

    Checks read what is known of the machine; methods are ways to compute with quantized weights, and each
    is tried in a process of its own. CHECK and METHOD limit it to those named; without them, --full tries
    the methods that take longer too. Exits with 1 if a check failed or a method that was named does not
    work here; under --strict also if a check warned or any method is broken; with 3 if nothing could be
    checked.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown were both given: choose one.")
    if list_only:
        return _list(as_json, output)
    from qprobe.documents.files import write_text
    from qprobe.flow.diagnose import diagnose
    from qprobe.render.diagnosis import diagnosis_text

    with watch() as progress:
        diagnosis = diagnose(
            device, names, machine_file, full=full, personal=personal, progress=progress
        )

    def page(width: int, color: bool) -> str:
        if markdown:
            from qprobe.render.markdown import diagnosis_markdown

            return diagnosis_markdown(diagnosis)
        return diagnosis_text(diagnosis, width, color, full, trials=bool(names))

    try:
        answer(diagnosis, page, as_json, output)
    finally:  # whatever cannot be written, the rest is
        if html is not None:
            from qprobe.flow.evidence import profiles_of_machine
            from qprobe.render.html import diagnosis_html

            write_text(diagnosis_html(diagnosis, profiles_of_machine(diagnosis.machine)), html)
    if diagnosis.interrupted:
        say("interrupted: what is not listed was not asked or tried")
        return INTERRUPTED
    told = {item.id for item in diagnosis.findings} | {item.method for item in diagnosis.verdicts}
    if machine_file is not None and (silent := [name for name in names if name not in told]):
        say(f"of a machine that is only recorded, nothing is known of {', '.join(silent)}")
    if not diagnosis.verdicts and all(item.status == "skip" for item in diagnosis.findings):
        say("nothing was checked: all that was asked for was skipped, for the reasons given")
        return FAILED
    return int(_is_bad(diagnosis, names, strict))


def _is_bad(diagnosis: Diagnosis, names: tuple[str, ...], strict: bool) -> bool:
    """Whether the answer is no."""
    bad = {"fail", "crash", "warn"} if strict else {"fail", "crash"}
    return any(finding.status in bad for finding in diagnosis.findings) or any(
        (strict and item.verdict == "broken")
        or (item.method in names and item.verdict in ("broken", "unsupported", "not_installed"))
        for item in diagnosis.verdicts
    )


def _list(as_json: bool, output: Path | None) -> int:
    import json

    from qprobe.doctor import list_checks, list_methods
    from qprobe.documents.files import write_text
    from qprobe.render.page import render, table

    checks, methods = list_checks(), list_methods()
    rows = [{"id": item.id, "title": item.title, "why": item.why} for item in checks]
    ways = [
        {"id": m.id, "title": m.title, "family": m.family, "bits": m.bits, "level": m.level,
         "devices": m.devices, "needs": m.needs}
        for m in methods
    ]  # fmt: skip
    listed = {"schema_version": 1, "document": "checks", "checks": rows, "methods": ways}
    text = json.dumps(listed, indent=2) + "\n"
    if output is not None:
        write_text(text, output)
    if as_json:
        put(text)
    else:
        what = ((item.id, f"{item.title}: {item.family}") for item in methods)
        put(render([table(("check", "why"), ((item.id, item.why) for item in checks))]))
        put("\n" + render([table(("method", "what it is"), what)]))
        put("\nA run without names tries the methods of qprobe and torch that take little time.\n")
    return 0
