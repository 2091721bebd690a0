"""`qprobe doctor` with methods, in processes of its own: names, levels, statuses, Ctrl-C, a bare system."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import qprobe.flow.diagnose
from qprobe.documents.files import parse_document, save_document
from qprobe.documents.finding import Diagnosis, Fix, Speed, Verdict
from qprobe.errors import QprobeError
from tests.cli.test_processes import finish
from tests.doctor.machines import load
from tests.render import samples

PLANTED = """
import functools, sys
import qprobe.doctor, qprobe.flow.diagnose
from qprobe._discover import discover_in
from qprobe.doctor.execution.watch import Limits
from qprobe.doctor.trying import Trying
from tests.doctor.machines import load
known = {m.id: m for m in discover_in("tests.doctor.planted", "METHOD")}
listed = tuple(known[name] for name in NAMES)
limits = Limits(import_s=20, step_s=STEP, whole_s=60, memory_bytes=2**29)
class Told(Trying):
    def verdict(self, method, device):
        print("trying", method.id, file=sys.stderr, flush=True)
        return super().verdict(method, device)
qprobe.flow.diagnose._probe = lambda *_: load("epyc_avx2")
qprobe.doctor.list_methods = lambda: listed
qprobe.doctor.Trying = functools.partial(Told, package="tests.doctor.planted", limits=limits)
"""


def planted(*names, step=30):
    return PLANTED.replace("NAMES", repr(names)).replace("STEP", str(step))


def test_all_four_that_do_their_worst_are_verdicts_and_the_run_is_complete(start):
    names = ("dies-by-signal", "hangs", "eats-memory", "corrupts-stdout", "right")
    status, out, err = finish(start(["doctor", "--full", "--json"], planted(*names, step=2)), 120)
    diagnosis = parse_document(Diagnosis, out, "stdout")
    found = {item.method: item.verdict for item in diagnosis.verdicts}
    assert found == {
        "dies-by-signal": "broken",
        "hangs": "broken",
        "eats-memory": "broken",
        "corrupts-stdout": "works",
        "right": "works",
    }
    assert diagnosis.findings
    assert status == 0, "the checks are fine, and nobody asked about one of the methods"
    assert "Traceback" not in err


def test_ctrl_c_prints_what_it_has_and_leaves_nothing_behind(start):
    process = start(["doctor", "--full", "--json"], planted("right", "hangs-deaf", "wrong"))
    assert process.stderr.readline() == "trying right\n"
    assert process.stderr.readline() == "trying hangs-deaf\n"
    await_its_company(process.pid, 3)
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert status == 130
    diagnosis = parse_document(Diagnosis, out, "stdout")
    assert diagnosis.interrupted
    assert [item.method for item in diagnosis.verdicts] == ["right"]
    assert len(diagnosis.findings) >= 10
    assert "interrupted" in err
    assert "Traceback" not in err
    assert_gone(lambda: "left-behind" in processes())


def test_killed_itself_it_leaves_nothing_behind(start):
    process = start(["doctor", "--full"], planted("hangs"))
    assert process.stderr.readline() == "trying hangs\n"
    started = await_its_company(process.pid, 2)
    process.kill()
    finish(process)
    assert_gone(lambda: bool(started & set(parents())))


def assert_gone(is_there: Callable[[], bool]) -> None:
    """What was killed takes a moment to go."""
    end = time.monotonic() + 10
    while is_there() and time.monotonic() < end:
        time.sleep(0.1)
    assert not is_there()


def await_its_company(pid: int, count: int) -> set[int]:
    """What runs under a doctor: the starter, the method's process, and what that starts."""
    end = time.monotonic() + 30
    while len(found := descendants(pid)) < count and time.monotonic() < end:
        time.sleep(0.1)
    assert len(found) >= count
    return found


def processes() -> str:
    """The command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(found)


def parents() -> dict[int, int]:
    """Process → its parent, of those that are no zombies."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def descendants(pid: int) -> set[int]:
    children = {child for child, parent in parents().items() if parent == pid}
    return children.union(*(descendants(child) for child in children))


def test_a_home_that_cannot_be_written_and_no_compiler(start):
    env = os.environ | {"HOME": "/proc", "QPROBE_CACHE": "/proc/nowhere", "CXX": "/nowhere/g++"}
    status, out, _ = finish(start(["doctor", "qprobe-w8a8", "--json"], env=env), 120)
    (verdict,) = parse_document(Diagnosis, out, "stdout").verdicts
    assert verdict.verdict in ("fast", "works", "slow")
    assert status == 0


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


def test_both_kinds_are_listed(run):
    rows = json.loads(run("doctor", "--list", "--json").stdout)
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


INTERRUPTED_PROBE = """
import sys, time
import qprobe.probe
from tests.doctor.machines import load
def probe_machine(questions, **_):
    if questions is None:
        print("asking", file=sys.stderr, flush=True)
        time.sleep(60)
    return load("epyc_avx2")
qprobe.probe.probe_machine = probe_machine
"""


def test_ctrl_c_while_the_machine_is_asked_prints_what_it_has(start):
    process = start(["doctor", "--json"], INTERRUPTED_PROBE)
    assert process.stderr.readline() == "asking\n"
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert status == 130
    found = parse_document(Diagnosis, out, "stdout")
    assert found.interrupted
    assert "memory" in [item.id for item in found.findings]
    assert "interrupted" in err
    assert "Traceback" not in err


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
