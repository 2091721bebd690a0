"""The diagnosis as a page of text: a line a finding, what is wrong and what to do at the end.

Wherever findings are listed, the worst stand next to the count: that is the last line in a terminal, where
one looks first, and the first in Markdown and HTML.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.table import Table

from qprobe.documents.finding import Diagnosis, Finding, Fix, Status
from qprobe.render.page import DEFAULT_WIDTH, indent, one_line, render, words
from qprobe.render.verdicts import verdict_blocks

MARKS: dict[Status, str] = {"ok": "✓", "warn": "!", "fail": "✗", "skip": "–", "crash": "✗"}
SEVERITY: tuple[Status, ...] = ("crash", "fail", "warn", "ok", "skip")
PROBLEMS: tuple[Status, ...] = ("crash", "fail", "warn")
_STYLES: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "dim",
                              "crash": "red"}  # fmt: skip
_NOUNS: dict[Status, tuple[str, str]] = {
    "ok": ("passed", "passed"),
    "warn": ("warning", "warnings"),
    "fail": ("failed", "failed"),
    "crash": ("crashed", "crashed"),
    "skip": ("skipped", "skipped"),
}
_TITLE_COLUMNS = 22
_CODE_PIECE = re.compile(r".+?(?:[;,] |$)")
_SHELL_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s])+""")


def diagnosis_text(
    diagnosis: Diagnosis,
    width: int = DEFAULT_WIDTH,
    color: bool = False,
    full: bool = False,
    trials: bool = False,
) -> str:
    """What is fine, the verdicts, what is wrong, the worst last, and the count.

    `full` also shows the detail of what is fine, `trials` the evidence behind each verdict.
    """
    blocks: list[RenderableType] = []
    shown = diagnosis.findings if full else fold_skipped(diagnosis.findings)
    longest = max((len(finding.title) for finding in shown), default=0)
    columns = min(longest, _TITLE_COLUMNS)
    for finding in shown:
        if finding.status not in PROBLEMS:
            blocks.extend(_finding(finding, columns, width, full))
    if diagnosis.verdicts:
        blocks.extend(verdict_blocks(diagnosis, width, full, trials))
    problems = sorted(
        (item for item in shown if item.status in PROBLEMS),
        key=lambda item: -SEVERITY.index(item.status),
    )
    if blocks and (problems or diagnosis.verdicts):
        blocks.append(words(""))
    for finding in problems:
        blocks.extend(_finding(finding, columns, width, full))
    if diagnosis.findings:
        blocks.append(words(count_line(diagnosis.findings), "bold"))
    return render(blocks, width, color)


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first; those alike in the order of the checks."""
    return sorted(findings, key=lambda finding: SEVERITY.index(finding.status))


def fold_skipped(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, those that were skipped for one and the same reason as one that names them all."""
    alike: dict[str, list[str]] = {}
    for finding in findings:
        if finding.status == "skip":
            alike.setdefault(finding.summary, []).append(finding.title)
    folded: list[Finding] = []
    for finding in findings:
        titles = alike.get(finding.summary, []) if finding.status == "skip" else []
        if len(titles) < 2:
            folded.append(finding)
        elif finding.title == titles[0]:
            words = f"{finding.summary}: {', '.join(titles)}"
            named = {"title": f"{len(titles)} checks", "summary": words, "detail": ""}
            folded.append(finding.model_copy(update=named))
    return folded


def count_line(findings: Sequence[Finding]) -> str:
    """10 checks: 7 passed, 1 warning, 2 skipped."""
    counts = Counter(finding.status for finding in findings)
    parts = [
        f"{counts[status]} {plural if counts[status] > 1 else single}"
        for status, (single, plural) in _NOUNS.items()
        if counts[status]
    ]
    noun = "check" if len(findings) == 1 else "checks"
    return f"{len(findings)} {noun}: {', '.join(parts) or 'none was run'}"


def _finding(finding: Finding, title_columns: int, width: int, full: bool) -> list[RenderableType]:
    status = finding.status
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(width=1)
    line.add_column(width=title_columns + 1, overflow="fold")
    line.add_column(ratio=1, overflow="fold")
    summary = finding.summary
    if status in ("skip", "crash") and not summary.lower().startswith(_NOUNS[status][0]):
        summary = f"{_NOUNS[status][0]}: {summary}"
    style = _STYLES[status]
    line.add_row(words(MARKS[status], style), words(one_line(finding.title)), words(summary))
    blocks: list[RenderableType] = [line]
    if full or status in PROBLEMS:
        if finding.detail:
            blocks.append(indent(words(finding.detail.strip("\n"), "dim"), 4))
        if finding.fix:
            blocks += [indent(block, 4) for block in fix_blocks(finding.fix, width - 6)]
    return blocks


def fix_blocks(fix: Fix, width: int) -> list[RenderableType]:
    """What to do, and where to read on."""
    blocks: list[RenderableType] = [words(f"fix: {fix.text}")]
    blocks += [
        indent(words(wrap_command(item, width, label), "bold"), 2) for label, item in fix.labelled()
    ]
    if fix.link:
        blocks.append(words(f"see {fix.link}"))
    return blocks


def wrap_command(command: str, width: int, label: str = "") -> str:
    """A command behind a prompt; a long one goes on after a backslash, so that it can be pasted."""
    prompt = f"{label} $".lstrip()
    lines = [prompt]
    before = ""
    for part in _SHELL_WORD.findall(command):
        first, *more = _pieces(part) if before == "-c" else [part]
        if len(lines[-1]) + len(first) + 3 > width and lines[-1] != prompt:
            lines[-1] += " \\"
            lines.append(" ")
        lines[-1] += f" {first}"
        for piece in more:
            if len(lines[-1]) + len(piece) + 2 > width:
                lines[-1] += "\\"
                lines.append("  ")
            lines[-1] += piece
        before = part
    return "\n".join(lines)


def _pieces(code: str) -> list[str]:
    """Where Python in double quotes may be parted, as the shell allows by a backslash; spaces do no harm there."""
    return _CODE_PIECE.findall(code) if code.startswith('"') else [code]
