"""What each command prints, as JSON and for people, and how it exits."""

from __future__ import annotations

import json

import pytest

import qprobe.flow.bench
import qprobe.flow.diagnose
import qprobe.flow.plan
import qprobe.flow.probe
import qprobe.flow.verify
from qprobe.documents.files import load_document, parse_document, save_document
from qprobe.documents.finding import Diagnosis
from qprobe.documents.plan import Plan
from qprobe.documents.profile import Profile
from qprobe.documents.receipt import Receipt
from qprobe.flow.explain import Explanation
from qprobe.flow.interruption import InterruptedWith
from tests import documents_factory as factory
from tests.render import samples

MEASURED = factory.profile([factory.measurement("NONE", "reference", 1, 4, 4, 1e-6)])


@pytest.fixture
def plan_file(tmp_path):
    save_document(samples.plan(), tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.fixture
def flows(monkeypatch):
    """Every flow answers with a sample, which a test may replace."""
    answers = {
        "diagnose": samples.full_diagnosis(),
        "probe": samples.machine(),
        "bench": MEASURED,
        "plan": samples.plan(),
        "verify": samples.receipt(),
    }
    for name in answers:
        module = getattr(qprobe.flow, name)
        monkeypatch.setattr(module, name, lambda *_a, _name=name, **_k: answers[_name])
    return answers


@pytest.fixture
def commands(plan_file):
    return {
        "doctor": (Diagnosis, ["doctor"]),
        "probe": (samples.Machine, ["probe"]),
        "bench": (Profile, ["bench", "--shape", "4x4"]),
        "plan": (Plan, ["plan", "--model", "x"]),
        "explain": (Plan, ["explain", plan_file]),
        "explain a layer": (Explanation, ["explain", plan_file, "pooler"]),
        "verify": (Receipt, ["verify", "--model", "x", "--plan", plan_file]),
    }


NAMES = ["doctor", "probe", "bench", "plan", "explain", "explain a layer", "verify"]


@pytest.mark.parametrize("name", NAMES)
def test_json_is_one_document_and_nothing_else(run, flows, commands, name):
    kind, arguments = commands[name]
    result = run(*arguments, "--json")
    assert parse_document(kind, result.stdout, name)
    assert result.stderr == ""


@pytest.mark.parametrize("name", NAMES)
def test_a_page_for_people_that_fits(run, flows, commands, name):
    result = run(*commands[name][1])
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stdout.replace("\n", "").isprintable()
    assert result.stderr == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_document_is_written_besides(run, flows, commands, name, tmp_path):
    kind, arguments = commands[name]
    printed = run(*arguments, "--json", "-o", tmp_path / "out.json").stdout
    assert (tmp_path / "out.json").read_text() == printed
    assert load_document(kind, tmp_path / "out.json")


@pytest.mark.parametrize(
    ("status", "strict", "code"),
    [
        ("ok", True, 0),
        ("skip", True, 0),
        ("warn", False, 0),
        ("warn", True, 1),
        ("fail", False, 1),
        ("crash", False, 1),
    ],
)
def test_the_doctor_exits_by_the_worst_finding(run, flows, status, strict, code):
    flows["diagnose"] = samples.diagnosis(samples.finding("ok"), samples.finding(status))
    assert run("doctor", *(["--strict"] if strict else [])).exit_code == code


def test_the_doctor_in_full_shows_every_detail(run, flows):
    assert "fine because of it" not in run("doctor").stdout
    assert "fine because of it" in run("doctor", "--full").stdout


def test_the_doctor_as_markdown(run, flows):
    assert run("doctor", "--markdown").stdout.startswith("**qprobe ")


@pytest.mark.parametrize("arguments", [("doctor",), ("plan", "--model", "x")], ids=" ".join)
def test_an_html_page_is_written_besides(run, flows, tmp_path, arguments):
    result = run(*arguments, "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert result.stdout


def test_the_page_of_a_plan_shows_the_kernels_of_its_profile(run, flows, tmp_path):
    yardstick = samples.plan().targets["cpu-test"].yardstick_s
    cells = [factory.measurement("W8A8", "cpu.onednn_qlinear", 128, 64, 64, 1e-4)]
    save_document(factory.profile(cells, yardstick_s=yardstick), tmp_path / "p.json")
    options = ("--profile", tmp_path / "p.json", "--html", tmp_path / "page.html")
    assert run("plan", "--model", "x", *options).exit_code == 0
    page = (tmp_path / "page.html").read_text()
    assert "Roofline" in page
    assert "128×64×64" in page


def test_the_checks_are_listed_as_a_table_and_as_json(run):
    rows = json.loads(run("doctor", "--list", "--json").stdout)["checks"]
    assert len(rows) >= 10
    listed = run("doctor", "--list").stdout
    assert all(row["id"] in listed for row in rows)


def test_an_unknown_check_is_refused_with_what_is_near(run, tmp_path):
    save_document(samples.machine(), tmp_path / "m.json")
    result = run("doctor", "--machine", tmp_path / "m.json", "thread")
    assert result.exit_code == 2
    assert "threads" in result.stderr


def test_measuring_nothing_is_status_3_after_printing(run, flows):
    flows["bench"] = factory.profile()
    result = run("bench", "--shape", "4x4")
    assert result.exit_code == 3
    assert "nothing was measured" in result.stdout


def test_bench_without_shapes_says_what_it_measures(run, flows):
    assert "BERT-base" in run("bench").stderr


@pytest.mark.parametrize("passed", [True, False, None])
def test_verification_exits_by_its_outcome(run, flows, commands, passed):
    flows["verify"] = samples.receipt(passed=passed)
    assert run(*commands["verify"][1]).exit_code == (1 if passed is False else 0)


def test_an_interrupted_profile_is_printed_and_status_130(run, flows):
    flows["bench"] = MEASURED.model_copy(update={"interrupted": True})
    result = run("bench", "--shape", "4x4")
    assert result.exit_code == 130
    assert "M = 1, N = 4, K = 4" in result.stdout


def test_an_interrupted_plan_is_printed_and_status_130(run, monkeypatch):
    def stop(*_arguments, **_options):
        raise InterruptedWith(samples.plan())

    monkeypatch.setattr(qprobe.flow.plan, "plan", stop)
    result = run("plan", "--model", "x", "--json")
    assert result.exit_code == 130
    assert parse_document(Plan, result.stdout, "stdout")
    assert "interrupted" in result.stderr


def test_an_interrupt_with_nothing_at_hand_is_status_130(run, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(qprobe.flow.probe, "probe", stop)
    result = run("probe")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "qprobe: interrupted\n")


def test_every_option_of_plan_reaches_the_flow(run, monkeypatch, tmp_path):
    seen = {}

    def record(model, objective, **options):
        seen.update(options, model=model, objective=objective)
        return samples.plan()

    monkeypatch.setattr(qprobe.flow.plan, "plan", record)
    options = (
        "--batch 2 --prompt 3 --generate 4 --memory 1GiB --max-error 0.1 --device cpu --target a "
        "--target b --measure never --calibrate t.txt"
    )
    run("plan", "--model", "m", *options.split(), "--profile", "p", "--sensitivity", "s")
    objective = seen["objective"]
    assert (objective.batch, objective.prompt, objective.generate) == (2, 3, 4)
    assert (objective.memory_limit_bytes, objective.error_limit.value) == (2**30, 0.1)
    assert (seen["device"], seen["targets"], seen["measure"]) == ("cpu", ("a", "b"), "never")
    assert (seen["calibrate"], str(seen["sensitivity_file"])) == ("t.txt", "s")
    assert list(map(str, seen["profile_files"])) == ["p"]


@pytest.mark.parametrize("arguments", [("doctor",), ("plan", "--model", "x")], ids=" ".join)
@pytest.mark.parametrize("page", ["/dev/full", "/proc/page.html"])
def test_a_page_that_cannot_be_written_costs_nothing_else(run, flows, tmp_path, arguments, page):
    result = run(*arguments, "--html", page, "-o", tmp_path / "it.json", "--json")
    assert result.exception is not None
    assert json.loads(result.stdout) == json.loads((tmp_path / "it.json").read_text())
