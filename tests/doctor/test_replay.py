"""Machine files as people send them: old, odd, cut short, or no machine at all."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qprobe.cli.commands import qprobe
from qprobe.doctor import list_checks, run_checks
from qprobe.documents.files import parse_document
from qprobe.documents.finding import Diagnosis
from qprobe.documents.machine import Gpu, Host, Machine, Software
from qprobe.errors import InputError
from qprobe.render.diagnosis import diagnosis_text
from qprobe.render.markdown import diagnosis_markdown
from tests.doctor.machines import FOLDER, NAMES, load
from tests.documents.strategies import documents

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
WHOLE = (FOLDER / "v100_old_peft.json").read_text(encoding="utf-8")


def content(**changes):
    return json.loads(WHOLE) | changes


def without(*names):
    kept = content()
    for name in names:
        *folders, last = name.split(".")
        place = kept
        for folder in folders:
            place = place[int(folder) if folder.isdigit() else folder]
        del place[last]
    return kept


def doctor(path, *more):
    return CliRunner().invoke(qprobe, ["doctor", "--machine", str(path), *more])


BAD = {
    "nothing": "",
    "not JSON": "Processor: fast",
    "cut short": WHOLE[: len(WHOLE) // 2],
    "a list": "[]",
    "a number": "3",
    "another document": json.dumps(content(document="plan")),
    "version 2": json.dumps(content(schema_version=2)),
    "no version": json.dumps(without("schema_version")),
    "version in words": json.dumps(content(schema_version="one")),
    "a field missing": json.dumps(without("cpu")),
    "a nested field missing": json.dumps(without("gpus.0.name")),
    "a field too many": json.dumps(content(serial="12345")),
    "a nested field too many": json.dumps(content(cpu=content()["cpu"] | {"mood": "good"})),
    "a number that is none": WHOLE.replace('"300.0"', "NaN").replace("300.0", "NaN", 1),
    "a huge number": WHOLE.replace('"units": 80', f'"units": {10**400}'),
    "deep nesting": "[" * 100_000,
    "measured and from tables": json.dumps(
        content(cpu=content()["cpu"] | {"bf16_speed_ratio": 2.0})
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_file_ends_in_one_clear_line(tmp_path, text):
    path = tmp_path / "machine.json"
    path.write_text(text)
    result = doctor(path)
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("qprobe: ")
    assert "machine.json" in lines[0]
    assert len(lines[0]) < 700
    assert lines[1].startswith("hint: ")


def test_bytes_of_no_text_are_no_machine(tmp_path):
    path = tmp_path / "machine.json"
    path.write_bytes(bytes(range(256)))
    assert doctor(path).exit_code == 2


def test_a_folder_is_no_machine(tmp_path):
    result = doctor(tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")


NEW = (
    "origin", "host", "software.nvrtc",
    *(f"gpus.0.{name}" for name, field in Gpu.model_fields.items() if not field.is_required()),
)  # fmt: skip


def test_a_document_from_before_the_new_fields_still_loads():
    old = parse_document(Machine, json.dumps(without(*NEW)), "old.json")
    assert (old.origin, old.host, old.software.nvrtc) == ("probed", None, None)
    findings = {finding.id: finding for finding in run_checks(old)}
    assert [f.id for f in findings.values() if f.status == "crash"] == []
    assert findings["peft-bitsandbytes"].status == "fail"
    assert findings["nvrtc"].status == "ok"  # by the version of pip's package
    assert findings["clocks"].status == "skip"


@pytest.mark.parametrize("name", NAMES)
def test_every_check_runs_on_a_recorded_machine(name):
    result = doctor(FOLDER / f"{name}.json", "--json")
    found = json.loads(result.stdout)
    assert [finding["id"] for finding in found["findings"]] == [c.id for c in list_checks()]
    failed = any(finding["status"] == "fail" for finding in found["findings"])
    assert result.exit_code == int(failed)


@FEW
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data):
    with pytest.raises(InputError):
        parse_document(Machine, data, "it")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@st.composite
def damaged(draw):
    """A machine's JSON with one value replaced, removed or added somewhere."""
    whole = json.loads((FOLDER / f"{draw(st.sampled_from(NAMES))}.json").read_text())
    place = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        if draw(st.booleans()):
            place[key] = draw(JSON)
        else:
            del place[key]
        return json.dumps(whole)


@FEW
@given(text=damaged())
def test_a_damaged_machine_is_refused_or_diagnosed(text):
    try:
        machine = parse_document(Machine, text, "it")
    except InputError as error:
        assert "\n" not in str(error)
        return
    check(machine)


def check(machine):
    """Every check answers, and the answer can be shown."""
    findings = run_checks(machine)
    assert [finding for finding in findings if finding.status == "crash"] == []
    diagnosis = Diagnosis(machine=machine, findings=findings, verdicts=())
    assert diagnosis_text(diagnosis, full=True)
    assert diagnosis_markdown(diagnosis)


VERSIONS = st.sampled_from(
    ["", "unknown", "0", "0.43.1", "0.14.0", "2.15.0+cu130", "13", "13.0", "12", "12.9.86", "1e9", "v2",
     "٣", "-1", "2..1"]
)  # fmt: skip
OPTIONAL_VERSIONS = st.none() | VERSIONS
CAPABILITIES = st.none() | st.sampled_from(
    ["6.0", "6.1", "7.0", "7.5", "8.9", "10.3", "99.9", "0.0"]
)
CARDS = st.sampled_from(
    ["Tesla V100-SXM2-16GB", "NVIDIA GeForce GTX 1650", "NVIDIA B300", "", "{card}"]
)


@st.composite
def strange(draw):
    """A machine of possible parts in combinations that nobody sells."""
    machine = load(draw(st.sampled_from(NAMES)))
    names = [
        *machine.software.packages,
        "bitsandbytes",
        "peft",
        "cupy",
        "cupy-cuda12x",
        "torchao",
    ]
    torch = machine.software.torch
    if torch is not None:
        torch = torch.model_copy(
            update={
                "version": draw(VERSIONS),
                "cuda": draw(OPTIONAL_VERSIONS),
                "arch_list": tuple(draw(st.lists(st.sampled_from(
                    ["sm_70", "sm_90a", "sm_100f", "compute_80", "sm_", "gfx942", ""]), max_size=3))),
            }
        )  # fmt: skip
    software = Software(
        **dict(machine.software)
        | {
            "torch": torch,
            "packages": draw(st.dictionaries(st.sampled_from(names), VERSIONS, max_size=9)),
            "driver": draw(OPTIONAL_VERSIONS),
            "cuda_driver": draw(OPTIONAL_VERSIONS),
            "nvrtc": draw(st.none() | st.just(()) | st.just(machine.software.nvrtc)),
        }
    )
    gpus = [
        draw(documents(Gpu)).model_copy(
            update={"name": draw(CARDS), "compute_capability": draw(CAPABILITIES), "index": index}
        )
        for index in range(draw(st.integers(0, 3)))
    ]
    return machine.model_copy(
        update={
            "software": software,
            "gpus": tuple(gpus),
            "host": draw(st.none() | documents(Host)),
            "unanswered": draw(st.dictionaries(st.sampled_from(["gpus", "gpus.0", "gpus.pci"]),
                                               st.sampled_from(["GPU is lost", "", "x"]))),
        }
    )  # fmt: skip


@settings(FEW, max_examples=300)
@given(machine=strange())
def test_no_check_breaks_on_a_strange_machine(machine):
    check(machine)


@FEW
@given(machine=documents(Machine))
def test_no_check_breaks_on_any_machine(machine):
    check(machine)
