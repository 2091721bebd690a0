"""Who somebody is stays out of what is pasted into bug reports."""

from __future__ import annotations

import json

import pytest

from qprobe.documents.files import save_document
from qprobe.documents.finding import Fix, Trial, Verdict
from qprobe.documents.machine import Int8SelfTest
from qprobe.flow.diagnose import diagnose
from qprobe.flow.privacy import leave_out_persons
from tests.render.samples import diagnosis, finding

SECRETS = (
    "/home/jane.doe/.venv/lib/x.so",
    "/Users/jane/model",
    r"C:\Users\Jane\model",
    "/root/.cache/qprobe",
    "GPU-8f3c1c5e-0a1b-4c2d-9e3f-1234567890ab",
    "MIG-8f3c1c5e-0a1b-4c2d-9e3f-1234567890ab",
    "/data/people/janedoe42/env",
    "asked by janedoe42 on janes-laptop",
)


@pytest.fixture(autouse=True)
def somebody(monkeypatch):
    monkeypatch.setenv("HOME", "/data/people/janedoe42")
    monkeypatch.setenv("USER", "janedoe42")
    monkeypatch.setattr("platform.node", lambda: "janes-laptop")
    monkeypatch.setattr("getpass.getuser", lambda: "janedoe42")


@pytest.mark.parametrize("secret", SECRETS)
def test_it_is_left_out_wherever_it_stands(secret):
    words = f"cannot open {secret}: no such file"
    given = diagnosis(
        finding("fail", summary=words, detail=words, fix=Fix(text=words)),
        verdicts=(
            Verdict(
                method="some", device="cpu", verdict="broken", why=words, evidence="measured",
                detail=words, fix=Fix(text=words),
                trials=(Trial(name=words, outcome="failed", words=words),),
            ),
        ),
    )  # fmt: skip
    machine = given.machine
    software = machine.software.model_copy(
        update={"environment": {"MKL_PATH": secret}, "os": words}
    )
    test = Int8SelfTest(outcome="failed", worst_relative_error=None, words=words)
    machine = machine.model_copy(
        update={
            "software": software,
            "cpu": machine.cpu.model_copy(update={"int8_self_test": test}),
            "unanswered": {"gpus": words},
            "fingerprints": {
                name: item.model_copy(update={"software": {"MKL_PATH": secret}})
                for name, item in machine.fingerprints.items()
            },
        }
    )
    given = given.model_copy(update={"machine": machine, "disturbed_by": words})
    text = leave_out_persons(given).model_dump_json()
    for part in ("jane", "Jane", "laptop", "8f3c1c5e", "/root"):
        assert part not in text
    assert "cannot open" in text


def test_what_names_nobody_stays_as_it_is():
    fix = Fix(text="pad it", commands=("pip install x/y",), link="https://example.org/home/x")
    given = diagnosis(finding(summary="1 and/or 2: 3 / 4", detail="a\n  b", fix=fix))
    assert leave_out_persons(given) == given


@pytest.mark.parametrize("name", ["cpu", "some", "measured", "broken", "fail"])
def test_a_user_who_is_called_as_a_word_of_ours_breaks_nothing(name, monkeypatch):
    monkeypatch.setenv("USER", name)
    verdict = Verdict(method="some", device="cpu", verdict="broken", why="it", evidence="measured")
    found = leave_out_persons(diagnosis(finding("fail"), verdicts=(verdict,)))
    assert found.verdicts[0] == verdict
    assert found.findings[0].status == "fail"
    assert json.loads(found.model_dump_json())["document"] == "diagnosis"


def test_a_short_or_common_name_is_no_name(monkeypatch):
    monkeypatch.setenv("USER", "root")
    monkeypatch.setattr("getpass.getuser", lambda: "ed")
    given = diagnosis(finding(summary="the root of it, edited by ed"))
    assert leave_out_persons(given).findings[0].summary == "the root of it, edited by ed"


def test_a_personal_record_is_not_published_again(tmp_path):
    machine = diagnosis().machine
    kept = machine.model_copy(update={"unanswered": {"gpus": "no /home/jane.doe/libnvml.so"}})
    save_document(kept, tmp_path / "personal.json")
    found = diagnose(machine_file=tmp_path / "personal.json")
    assert found.machine.unanswered == {"gpus": "no …/libnvml.so"}
    asked = diagnose(machine_file=tmp_path / "personal.json", personal=True)
    assert asked.machine == kept


def test_a_machine_that_names_nobody_stays_as_it_is():
    given = diagnosis()
    assert leave_out_persons(given).machine == given.machine
