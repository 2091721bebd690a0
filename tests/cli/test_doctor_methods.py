"""`qprobe doctor` with methods: names, levels, statuses, recorded machines, and the pages that it prints."""

from __future__ import annotations

import json

import pytest

import qprobe.flow.diagnose
from qprobe.documents.files import parse_document, save_document
from qprobe.documents.finding import Diagnosis, Fix, Speed, Verdict
from qprobe.errors import QprobeError
from tests.doctor.machines import load
from tests.render import samples


def verdict(name="some-method", word="works", **more) -> Verdict:
    fields = {
        "method": name,
        "device": "cpu",
        "verdict": word,
        "why": "because",
        "evidence": "measured",
    }
    return Verdict(**fields | more)


@pytest.fixture
def answer(monkeypatch):
    """What the flow answers, and the options that it was given."""
    seen = {}

    def use(*verdicts, **changes):
        def diagnose(*names, **options):
            seen.update(options, names=names)
            given = samples.diagnosis(samples.finding("ok"), verdicts=verdicts)
            return given.model_copy(update=changes)

        monkeypatch.setattr(qprobe.flow.diagnose, "diagnose", diagnose)
        return seen

    return use


@pytest.mark.parametrize(
    ("word", "arguments", "code"),
    [
        ("works", ["some-method"], 0),
        ("slow", ["some-method"], 0),
        ("broken", ["some-method"], 1),
        ("unsupported", ["some-method"], 1),
        ("not_installed", ["some-method"], 1),
        ("broken", ["--full"], 0),
        ("broken", ["--full", "--strict"], 1),
        ("slow", ["--full", "--strict"], 0),
        ("not_installed", ["--full", "--strict"], 0),
    ],
)
def test_a_method_that_was_named_decides_the_status_others_do_not(
    run, answer, word, arguments, code
):
    answer(verdict(word=word))
    assert run("doctor", *arguments).exit_code == code


def test_options_reach_the_flow(run, answer):
    seen = answer(verdict())
    run("doctor", "--full", "--personal", "--device", "cpu", "memory", "torch-int-mm")
    assert seen["names"] == ("cpu", ("memory", "torch-int-mm"), None)
    assert (seen["full"], seen["personal"]) == (True, True)


def test_an_interrupted_diagnosis_is_printed_and_status_130(run, answer):
    answer(verdict(), interrupted=True)
    result = run("doctor")
    assert result.exit_code == 130
    assert "some-method" in result.stdout
    assert "interrupted" in result.stderr


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("bitsandbytes-int4", "bitsandbytes-int8"),
        ("memry", "memory"),
        ("qprobe-w8a9", "qprobe-w8a8"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_of_both_kinds(run, name, near):
    result = run("doctor", name)
    assert result.exit_code == 2
    assert f"there is no check or method '{name}'" in result.stderr
    assert near in result.stderr.partition("?")[0]


def test_both_kinds_are_listed(run, tmp_path):
    rows = json.loads(run("doctor", "--list", "--json", "-o", tmp_path / "list.json").stdout)
    assert rows == json.loads((tmp_path / "list.json").read_text())
    assert len(rows["checks"]) >= 10
    assert len(rows["methods"]) >= 30
    text = run("doctor", "--list").stdout
    assert all(row["id"] in text for kind in ("checks", "methods") for row in rows[kind])
    assert max(map(len, text.splitlines())) <= 80


@pytest.fixture
def recorded(tmp_path):
    save_document(load("v100_old_peft"), tmp_path / "v100.json")
    return tmp_path / "v100.json"


def test_a_recorded_machine_is_told_about_by_rule_and_only_in_full(run, recorded):
    assert "unsupported" not in run("doctor", "--machine", recorded).stdout
    result = run("doctor", "--machine", recorded, "--full", "--json")
    verdicts = parse_document(Diagnosis, result.stdout, "stdout").verdicts
    assert {item.evidence for item in verdicts} == {"rule"}
    told = {(item.method, item.device): item for item in verdicts}["torch-int-mm", "cuda:0"]
    assert told.verdict == "unsupported"
    assert "native: " in told.why
    assert told.fix is not None
    assert "W8A16" in told.fix.text
    assert "Modelled" in told.fix.text


def test_a_method_of_which_a_record_says_nothing_beside_others_is_named(run, recorded):
    result = run(
        "doctor", "--machine", recorded, "qprobe-w4a16", "torch-int-mm", "--device", "cuda:0"
    )
    assert result.exit_code == 1, "the other is unsupported"
    assert "nothing is known of qprobe-w4a16" in result.stderr


def test_a_method_of_which_a_record_says_nothing_is_status_3(run, recorded):
    result = run("doctor", "--machine", recorded, "qprobe-w4a16", "--device", "cpu")
    assert result.exit_code == 3
    assert result.stdout == ""


def test_checks_that_are_all_skipped_are_status_3_with_words(run, tmp_path):
    save_document(load("epyc_avx2"), tmp_path / "m.json")
    result = run("doctor", "--machine", tmp_path / "m.json", "clocks", "ecc")
    assert result.exit_code == 3
    assert "no NVIDIA GPU" in result.stdout or "needs GPU" in result.stdout
    assert "nothing was checked" in result.stderr
    document = run("doctor", "--machine", tmp_path / "m.json", "clocks", "--json")
    assert document.exit_code == 3
    assert parse_document(Diagnosis, document.stdout, "it").findings[0].status == "skip"
    mixed = run("doctor", "--machine", tmp_path / "m.json", "clocks", "memory")
    assert mixed.exit_code == 0


def test_a_method_for_another_device_is_told_and_status_1(run, recorded):
    result = run("doctor", "--machine", recorded, "onnxruntime-int8", "--device", "cuda:0")
    assert result.exit_code == 1
    assert "onnxruntime-int8" in result.stdout
    assert "for cpu alone" in " ".join(result.stdout.split())


def test_the_answer_is_printed_before_a_page_that_cannot_be_written(run, answer, monkeypatch):
    def fail(*_):
        raise QprobeError("cannot write page.html: no space left", "free some space")

    answer(verdict())
    monkeypatch.setattr("qprobe.documents.files.write_text", fail)
    result = run("doctor", "--html", "page.html")
    assert "some-method" in result.stdout
    assert result.exit_code == 3
    assert "no space left" in result.stderr


def test_a_document_that_cannot_be_written_leaves_the_page(run, answer, tmp_path, monkeypatch):
    def fail(*_):
        raise QprobeError("cannot write it", "free some space")

    answer(verdict())
    monkeypatch.setattr("qprobe.documents.files.save_document", fail)
    result = run("doctor", "--html", tmp_path / "page.html", "-o", tmp_path / "d.json")
    assert result.exit_code == 3
    assert "cannot write it" in result.stderr
    assert "some-method" in (tmp_path / "page.html").read_text()


def test_the_page_fits_80_columns_without_colour(run, answer):
    speed = Speed(
        m=1, n=2048, k=2048, activation_dtype="bfloat16", median_s=1e-3, unquantized_s=2e-3,
        unquantized_dtype="bfloat16", ratio=2.0, ratio_low=0.9, ratio_high=2.1, kernel="cpu.x",
    )  # fmt: skip
    tiny = speed.model_copy(
        update={"m": 32, "ratio": 0.0071, "ratio_low": 0.007, "ratio_high": 0.0072}
    )
    fix = Fix(text="Use another.", commands=("pip install something",))
    answer(
        verdict("torchao-int8-dynamic-abc", "works", speeds=(speed, tiny)),
        verdict("b-method", "broken", why="wrong " * 40, fix=fix),
        verdict("c-method", "not_installed", fix=fix),
        verdict("d-method", "slow", device="cuda:0", speeds=(tiny,), fix=fix),
        disturbed_by="other programs used 50% of the processors",
    )
    page = run("doctor").stdout
    assert max(map(len, page.splitlines())) <= 80
    assert "\x1b" not in page
    row = next(line for line in page.splitlines() if line.startswith("torchao-int8-dynamic-abc"))
    assert row.split() == ["torchao-int8-dynamic-abc", "·", "works", "~2.0×", "0.0071×"]
    assert "✗ b-method: wrong" in page
    assert "not installed: c-method (pip install something)" in page
    assert "cuda:0" in page
    assert "While methods were timed, other programs used 50% of the processors." in page
    assert "Use another" not in page.partition("cuda:0")[2], "what is slow explains itself in full"
    assert "Use another" in run("doctor", "--full").stdout.partition("cuda:0")[2]


def test_markdown_holds_the_figures_the_reason_and_the_way_out(run, answer):
    answer(verdict(word="broken", fix=Fix(text="Do that.", commands=("pip install x_y",))))
    page = run("doctor", "--markdown").stdout
    assert "| some-method | ✗ broken | because | Do that. <code>pip install x\\_y</code> |" in page
