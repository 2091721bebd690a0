"""The diagnosis as Markdown to paste into a bug report, with the machine's facts to replay it."""

from __future__ import annotations

import re

from qprobe.documents.files import to_json
from qprobe.documents.finding import Diagnosis, Finding
from qprobe.render.diagnosis import MARKS, count_line
from qprobe.render.page import one_line, printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")


def escape(text: str) -> str:
    """One line of plain text, so that neither Markdown nor HTML can start in it."""
    return _SPECIAL.sub(r"\\\1", one_line(printable(text)).replace("&", "&amp;"))


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """A table of the findings, what to do, and the machine as JSON, folded."""
    lines = [
        f"**qprobe {escape(diagnosis.qprobe_version)} doctor**, {count_line(diagnosis.findings)}",
        "",
        "| | check | finding |",
        "|---|---|---|",
    ]
    lines += [
        f"| {MARKS[item.status]} {item.status} | {escape(item.title)} ({escape(item.id)}) | {escape(item.summary)} |"
        for item in diagnosis.findings
    ]
    for finding in diagnosis.findings:
        lines += _details(finding)
    if diagnosis.verdicts:
        lines += ["", "| method | device | verdict | why |", "|---|---|---|---|"]
        lines += [
            f"| {escape(item.method)} | {escape(item.device)} | {escape(item.verdict)} | {escape(item.why)} |"
            for item in diagnosis.verdicts
        ]
    lines += ["", "<details><summary>machine (for <code>doctor --machine</code>)</summary>", ""]
    # No line of indented JSON begins with backticks, so nothing inside can end the fence.
    lines += ["```json", to_json(diagnosis.machine).rstrip("\n"), "```", "", "</details>"]
    return "\n".join(lines) + "\n"


def _details(finding: Finding) -> list[str]:
    if finding.status not in ("warn", "fail", "crash") or not (finding.detail or finding.fix):
        return []
    lines = ["", f"**{escape(finding.title)}**"]
    if finding.detail:
        lines += ["", *(f"    {line}" for line in printable(finding.detail).splitlines())]
    if finding.fix:
        lines += ["", f"Fix: {escape(finding.fix.text)}"]
        if finding.fix.commands:
            lines += ["", *(f"    {one_line(printable(item))}" for item in finding.fix.commands)]
        if finding.fix.link:
            lines += ["", f"See {escape(finding.fix.link)}"]
    return lines
