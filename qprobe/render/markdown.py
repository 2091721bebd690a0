"""The diagnosis as Markdown to paste into a bug report, with the machine's facts to replay it."""

from __future__ import annotations

import re
from itertools import groupby
from operator import itemgetter

from qprobe.documents.files import to_json
from qprobe.documents.finding import Diagnosis, Finding, Fix, Verdict
from qprobe.render.diagnosis import MARKS, PROBLEMS, by_severity, count_line
from qprobe.render.page import one_line, printable
from qprobe.render.verdicts import (
    VERDICT_MARKS,
    device_name,
    devices_in,
    gain_at,
    rows_timed,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")


def escape(text: str) -> str:
    """One line of plain text, so that neither Markdown nor HTML can start in it."""
    return _SPECIAL.sub(r"\\\1", one_line(printable(text)).replace("&", "&amp;"))


def diagnosis_markdown(diagnosis: Diagnosis) -> str:
    """A table of the findings, the worst first, what to do, and the machine as JSON, folded."""
    findings = by_severity(diagnosis.findings)
    lines = [
        f"**qprobe {escape(diagnosis.qprobe_version)} doctor**, {count_line(diagnosis.findings)}",
        "",
        "| | check | finding |",
        "|---|---|---|",
    ]
    lines += [
        f"| {MARKS[item.status]} {item.status} | {escape(item.title)} ({escape(item.id)}) | {escape(item.summary)} |"
        for item in findings
    ]
    for finding in findings:
        lines += _details(finding)
    for device in devices_in(diagnosis.verdicts):
        lines += _verdicts(diagnosis, device)
    if diagnosis.disturbed_by:
        lines += ["", f"While methods were timed, {escape(diagnosis.disturbed_by)}."]
    if diagnosis.interrupted:
        lines += ["", "Interrupted: methods that are not listed were not tried."]
    lines += ["", "<details><summary>machine (for <code>doctor --machine</code>)</summary>", ""]
    # No line of indented JSON begins with backticks, so nothing inside can end the fence.
    lines += ["```json", to_json(diagnosis.machine).rstrip("\n"), "```", "", "</details>"]
    return "\n".join(lines) + "\n"


def _verdicts(diagnosis: Diagnosis, device: str) -> list[str]:
    """A table of what each method does on a device, with the reason and the way out."""
    mine = [item for item in diagnosis.verdicts if item.device == device]
    timed = rows_timed(mine)
    name = escape(device_name(diagnosis.machine, device))
    note = ", speed over unquantized" if timed else ""
    head = ["method", "verdict", *(f"M = {m}" for m in timed), "why", "what to do"]
    lines = ["", f"**{escape(device)}**, {name}{note}", "", f"| {' | '.join(head)} |"]
    lines.append("|---" * len(head) + "|")
    for item in mine:
        cells = [
            escape(item.method),
            f"{VERDICT_MARKS[item.verdict]} {escape(item.verdict)}",
            *(gain_at(item, m) for m in timed),
            escape(item.why),
            _way_out(item),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _way_out(verdict: Verdict) -> str:
    if verdict.fix is None:
        return ""
    parts = [escape(verdict.fix.text)]
    parts += [f"<code>{escape(command)}</code>" for command in verdict.fix.commands]
    return " ".join(parts)


def _ways(text: str) -> str:
    """The text, each of its lines on one of its own."""
    return "<br>".join(escape(line) for line in text.splitlines())


def _commands(fix: Fix) -> list[str]:
    """A line a command; one of several ways out stands apart, so that nobody pastes them all."""
    lines = []
    for label, commands in groupby(fix.labelled(), key=itemgetter(0)):
        lines += ["", f"{escape(label)}:", ""] if label else [""]
        lines += [f"    {one_line(printable(command))}" for _label, command in commands]
    return lines


def _details(finding: Finding) -> list[str]:
    if finding.status not in PROBLEMS or not (finding.detail or finding.fix):
        return []
    lines = ["", f"**{escape(finding.title)}**"]
    if finding.detail:
        lines += ["", *(f"    {line}" for line in printable(finding.detail).splitlines())]
    if finding.fix:
        lines += ["", f"Fix: {_ways(finding.fix.text)}"]
        if finding.fix.commands:
            lines += _commands(finding.fix)
        if finding.fix.link:
            lines += ["", f"See {escape(finding.fix.link)}"]
    return lines
