from __future__ import annotations

import pytest
from pydantic import ValidationError

from qprobe.documents.finding import Fix, Trial
from qprobe.render.diagnosis import count_line, diagnosis_text, wrap_command
from qprobe.render.html import diagnosis_html
from qprobe.render.markdown import diagnosis_markdown
from tests.render.pages import speed, verdict
from tests.render.samples import diagnosis, finding, full_diagnosis


def test_a_line_a_finding_with_mark_title_and_summary():
    page = diagnosis_text(diagnosis(finding("ok", title="CPU", summary="2 cores")))
    assert page.splitlines()[0].split() == ["✓", "CPU", "2", "cores"]


@pytest.mark.parametrize("status", ["warn", "fail", "crash"])
def test_problems_show_detail_and_fix_indented(status):
    fix = Fix(text="do it", commands=("pip install x",), link="https://example.org")
    page = diagnosis_text(diagnosis(finding(status, detail="because", fix=fix)))
    lines = page.splitlines()
    assert lines[1:5] == [
        "    because",
        "    fix: do it",
        "      $ pip install x",
        "    see https://example.org",
    ]


@pytest.mark.parametrize("status", ["ok", "skip"])
def test_detail_of_what_is_fine_is_shown_only_in_full(status):
    found = diagnosis(finding(status, detail="because"))
    assert "because" not in diagnosis_text(found)
    assert "because" in diagnosis_text(found, full=True)


def test_the_count_comes_last():
    page = diagnosis_text(full_diagnosis())
    assert page.splitlines()[-1] == "5 checks: 1 passed, 1 warning, 1 failed, 1 crashed, 1 skipped"


def titles_in(page, findings):
    lines = page.splitlines()
    order = [(line.index(item.title), number, item.title) for number, line in enumerate(lines)
             for item in findings if item.title in line]  # fmt: skip
    return [title for _column, _number, title in sorted(order, key=lambda found: found[1])]


def test_what_is_wrong_stands_next_to_the_count_the_worst_nearest():
    found = [
        finding("fail", title="F1", id="f1"),
        finding("ok", title="O1", id="o1"),
        finding("warn", title="W1", id="w1"),
        finding("crash", title="C1", id="c1"),
        finding("skip", title="S1", id="s1"),
        finding("fail", title="F2", id="f2"),
        finding("warn", title="W2", id="w2"),
        finding("ok", title="O2", id="o2"),
    ]
    document = diagnosis(*found, verdicts=full_diagnosis().verdicts)
    text = diagnosis_text(document)
    assert titles_in(text, found) == ["O1", "S1", "O2", "W1", "W2", "F1", "F2", "C1"]
    assert text.index("some method") < text.index("W1")
    assert text.splitlines()[-1].startswith("8 checks:")
    table = [line for line in diagnosis_markdown(document).splitlines() if line.startswith("| ")]
    rows = "\n".join(table[1:9])
    assert titles_in(rows, found) == ["C1", "F1", "F2", "W1", "W2", "O1", "O2", "S1"]
    assert document.findings == tuple(found), "the document keeps the order of the checks"


def test_counting_one_and_many():
    assert count_line([finding("warn")]) == "1 check: 1 warning"
    assert count_line([finding("warn"), finding("warn")]) == "2 checks: 2 warnings"


def test_verdicts_are_a_table_where_there_are_any():
    assert "not installed" in diagnosis_text(full_diagnosis())
    assert "verdict" not in diagnosis_text(diagnosis(finding()))


def test_a_long_command_can_be_pasted():
    import shlex

    command = "pip install 'a  b' " + "--option value " * 10 + '"x y"'
    wrapped = wrap_command(command, 40)
    assert max(map(len, wrapped.splitlines())) <= 40
    assert shlex.split(wrapped.removeprefix("$ ").replace("\\\n", "")) == shlex.split(command)


def test_python_in_a_long_command_can_be_pasted(tmp_path):
    import subprocess

    code = (
        "import sys, json; word = json.dumps([1, sys.argv[1]], indent=None); print('it is', word)"
    )
    wrapped = wrap_command(f'python3 -c "{code}" "${{ADAPTER:?the folder of the LoRA}}"', 40, "(2)")
    assert max(map(len, wrapped.splitlines())) <= 40
    assert wrapped.startswith("(2) $ python3 -c ")
    pasted = "\n".join(f"      {line}" for line in wrapped.removeprefix("(2) $").splitlines())
    said = [
        subprocess.run(["bash", "-c", pasted], env=env, capture_output=True, text=True, check=False)
        for env in ({"PATH": "/usr/bin:/bin", "ADAPTER": "a b"}, {"PATH": "/usr/bin:/bin"})
    ]
    assert said[0].stdout == 'it is [1, "a b"]\n'
    assert "ADAPTER: the folder of the LoRA" in said[1].stderr


def test_commands_tell_which_way_out_they_belong_to():
    fix = Fix(text="two ways", commands=("a", "b"), labels=("(1)", "or"))
    document = diagnosis(finding("fail", fix=fix))
    assert [line for line in diagnosis_text(document).splitlines() if "$" in line] == [
        "      (1) $ a",
        "      or $ b",
    ]
    page = diagnosis_html(document)
    assert [
        page.index(words) for words in ('label">(1)<', "<code>a<", 'label">or<', "<code>b<")
    ] == sorted(
        page.index(words) for words in ('label">(1)<', "<code>a<", 'label">or<', "<code>b<")
    )


def test_labels_are_as_many_as_commands():
    with pytest.raises(ValidationError, match="1 labels for 2 commands"):
        Fix(text="two ways", commands=("a", "b"), labels=("or",))


def test_a_short_command_stays_on_its_line():
    assert wrap_command("pip install x", 40) == "$ pip install x"


def test_what_was_skipped_for_one_reason_is_one_line_that_names_it_all():
    found = [
        finding("ok", title="CPU"),
        finding("skip", title="CuPy", summary="needs GPU"),
        finding("skip", title="bitsandbytes", summary="it is not installed"),
        finding("skip", title="MIG", summary="needs GPU"),
    ]
    page = diagnosis_text(diagnosis(*found))
    assert " ".join(page.split()).count("needs GPU") == 1
    assert "2 checks skipped: needs GPU: CuPy, MIG" in " ".join(page.split())
    assert page.splitlines()[-1] == "4 checks: 1 passed, 3 skipped"
    assert diagnosis_text(diagnosis(*found), full=True).count("needs GPU") == 2


def test_what_a_method_ran_without_is_told_once_below_the_figures():
    words = "no C++ kernels: they are not compiled yet: qprobe doctor --full compiles them"
    lack = Trial(name="C++ kernels", outcome="refused", words=words)
    of_a_type = Trial(name="bfloat16, M = 1", outcome="refused", words="not in bfloat16")
    timed = {"speeds": (speed(1, 2.0),), "trials": (lack, of_a_type)}
    verdicts = (
        verdict("works", method="one", **timed),
        verdict("fast", method="two", **timed),
        verdict("works", method="three", speeds=(speed(1, 2.0),)),
        verdict("unsupported", method="four", trials=(lack,)),
    )
    page = diagnosis_text(diagnosis(finding("ok"), verdicts=verdicts), width=200)
    assert page.count("! one, two: no C++ kernels: they are not compiled yet") == 1
    assert "not in bfloat16" not in page
