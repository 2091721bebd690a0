from __future__ import annotations

import re

from qprobe.documents.files import parse_document
from qprobe.documents.finding import Fix
from qprobe.documents.machine import Machine
from qprobe.render.markdown import diagnosis_markdown, escape
from tests.render.samples import diagnosis, finding, full_diagnosis


def test_each_finding_is_one_row_of_three_cells():
    rows = [line for line in diagnosis_markdown(full_diagnosis()).splitlines() if line[:1] == "|"]
    findings = rows[2:7]
    assert all(len(re.split(r"(?<!\\)\|", row)) == 5 for row in findings)
    assert [row.split()[2] for row in findings] == ["crash", "fail", "warn", "ok", "skip"]


def test_hostile_text_starts_neither_html_nor_markup():
    assert escape("<b>|`*_[x](y)\n# z & ~\x1b") == r"\<b\>\|\`\*\_\[x\](y) \# z &amp; \~\\x1b"


def test_the_machine_can_be_replayed_from_it():
    page = diagnosis_markdown(full_diagnosis())
    block = page.split("```json\n")[1].split("```")[0]
    assert parse_document(Machine, block, "pasted") == full_diagnosis().machine.model_copy(
        update={"created_utc": parse_document(Machine, block, "pasted").created_utc}
    )


def test_problems_have_their_commands_below():
    assert "\n    pip install x\n" in diagnosis_markdown(full_diagnosis())


def test_each_way_out_is_a_block_of_its_own():
    fix = Fix(
        text="in this order:\n(1) x\n(2) <y>", commands=("a", "b", "c"), labels=("(1)", "(1)", "or")
    )
    page = diagnosis_markdown(diagnosis(finding("fail", fix=fix)))
    assert "\nFix: in this order:<br>(1) x<br>(2) \\<y\\>\n" in page
    assert "\n\n(1):\n\n    a\n    b\n\nor:\n\n    c\n" in page


def test_commands_without_labels_are_one_block():
    fix = Fix(text="do both", commands=("a", "b"))
    page = diagnosis_markdown(diagnosis(finding("fail", fix=fix)))
    assert "\nFix: do both\n\n    a\n    b\n" in page
