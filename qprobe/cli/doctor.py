"""`qprobe doctor`: what this machine can do, why not, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import click

from qprobe.cli.answer import answer, put
from qprobe.cli.options import answer_options, device_option, html_option, input_file


@click.command()
@click.argument("checks", nargs=-1, metavar="[CHECK]...")
@device_option
@click.option(
    "--full", is_flag=True, help="Show the detail of every finding, not only of problems."
)
@click.option("--machine", "machine_file", **input_file(help="Diagnose this machine document."))
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@click.option("--list", "list_only", is_flag=True, help="List the checks and what each is for.")
@html_option
@click.option("--markdown", is_flag=True, help="Print Markdown, to paste into a bug report.")
@answer_options
def doctor(
    checks: tuple[str, ...],
    device: str | None,
    full: bool,
    machine_file: Path | None,
    strict: bool,
    list_only: bool,
    html: Path | None,
    markdown: bool,
    as_json: bool,
    output: Path | None,
) -> int:
    """Tell what this machine can do, why not, and what to do.

    CHECK limits it to the checks named. Exits with 1 if a check failed.
    """
    if as_json and markdown:
        raise click.UsageError("--json and --markdown were both given: choose one.")
    if list_only:
        return _list(as_json)
    from qprobe.documents.files import write_text
    from qprobe.flow.diagnose import diagnose
    from qprobe.render.diagnosis import diagnosis_text

    diagnosis = diagnose(device, checks, machine_file)

    def page(width: int, color: bool) -> str:
        if markdown:
            from qprobe.render.markdown import diagnosis_markdown

            return diagnosis_markdown(diagnosis)
        return diagnosis_text(diagnosis, width, color, full)

    if html is not None:
        from qprobe.flow.evidence import profiles_of_machine
        from qprobe.render.html import diagnosis_html

        write_text(diagnosis_html(diagnosis, profiles_of_machine(diagnosis.machine)), html)
    answer(diagnosis, page, as_json, output)
    bad = {"fail", "crash", "warn"} if strict else {"fail", "crash"}
    return int(any(finding.status in bad for finding in diagnosis.findings))


def _list(as_json: bool) -> int:
    from qprobe.doctor import list_checks

    checks = list_checks()
    if as_json:
        import json

        rows = [{"id": item.id, "title": item.title, "why": item.why} for item in checks]
        put(
            json.dumps({"schema_version": 1, "document": "checks", "checks": rows}, indent=2) + "\n"
        )
    else:
        from qprobe.render.page import render, table

        put(render([table(("check", "why"), ((item.id, item.why) for item in checks))]))
    return 0
