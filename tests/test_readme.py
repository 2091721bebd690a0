"""The README shows what is: real output, code that runs, paths and commands that exist."""

from __future__ import annotations

import json
import re

import pytest

from qprobe.documents.files import load_document
from qprobe.documents.finding import Diagnosis
from qprobe.render.diagnosis import diagnosis_text
from tests.checkpoints import import_transformers
from tests.readme.generate import (
    BLOCKS,
    COLUMNS,
    README,
    TRANSCRIPTS,
    block_pattern,
    link_model,
    make_block,
    run_qprobe,
)
from tests.test_layering import ABSENT, run_without

ROOT = README.parent
TEXT = README.read_text(encoding="utf-8")


def shown(name: str) -> str:
    """The generated block in the README."""
    found = block_pattern(name).search(TEXT)
    assert found, f"README.md has no block {name}"
    return found[0].removesuffix("\n")


def page(name: str) -> str:
    """What the transcript says the command printed."""
    return shown(name).removesuffix("```").split("\n", 2)[2]


@pytest.mark.parametrize("name", BLOCKS)
def test_a_generated_block_is_what_its_document_renders_to(name):
    assert shown(name) == make_block(name), "run `make readme`"


def test_every_generated_block_is_known():
    assert set(re.findall(r"<!-- generated: (\w+) -->", TEXT)) == set(BLOCKS)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_a_document_behind_a_transcript_names_no_place_of_the_machine_it_came_from(name):
    assert not re.search(r"/(home|root|tmp|work)\b", TRANSCRIPTS[name].snapshot.read_text())


def test_the_doctor_prints_the_transcript_for_the_machine_that_it_was_made_on(tmp_path):
    shown = load_document(Diagnosis, TRANSCRIPTS["doctor"].snapshot)
    (tmp_path / "machine.json").write_text(shown.machine.model_dump_json())
    done = run_qprobe("doctor", "--machine", "machine.json", cwd=tmp_path)
    checks_alone = shown.model_copy(
        update={"verdicts": (), "disturbed_by": ""}
    )  # methods ran there
    assert done.stdout == diagnosis_text(checks_alone, COLUMNS)


def test_the_doctor_here_asks_what_the_transcript_shows(tmp_path):
    here = json.loads(run_qprobe("doctor", "--json", cwd=tmp_path).stdout)
    there = json.loads(TRANSCRIPTS["doctor"].snapshot.read_text())
    asked = [[(one["id"], one["title"]) for one in it["findings"]] for it in (here, there)]
    late = ("methods", "Methods")  # on a busy machine: that not all of them were tried in time
    assert [one for one in asked[0] if one != late] == asked[1]


def test_the_plan_here_has_the_form_that_the_transcript_shows(tmp_path):
    link_model(tmp_path)
    command = TRANSCRIPTS["plan"].command.split()[1:]
    done = run_qprobe(*command, "--measure", "never", "--calibrate", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert labels(done.stdout) == labels(page("plan"))
    assert json.loads((tmp_path / "plan.json").read_text())["document"] == "plan"


def labels(text: str) -> list[str]:
    """What a page calls its facts, its parts and the columns of its last table, in order."""
    names = "model|device|request|limits|time|memory|error|layers|this plan"
    found = re.findall(rf"^((?:{names})  |Why$|Alternatives|plan +time.*)", text, re.MULTILINE)
    return [" ".join(label.split()) for label in found]


def test_explain_reads_the_plan_of_the_transcript(tmp_path):
    done = run_qprobe("explain", str(TRANSCRIPTS["plan"].snapshot), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_deployment_code_runs_without_the_deciding_leg(tmp_path):
    import_transformers()
    link_model(tmp_path)
    (tmp_path / "plan.json").write_bytes(TRANSCRIPTS["plan"].snapshot.read_bytes())
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    check = "import torch\nassert torch.isfinite(model(torch.tensor([[1, 2]]))[0]).all()\nassert qprobe.receipt_of(model).layers"
    absent = tuple(name for name in ABSENT if name not in ("rich", "scipy"))  # transformers looks
    run_without(absent, f"{code}\n{check}", tmp_path)


def test_every_path_exists():
    text = TEXT + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", text)
    named = [path for path in paths if "/" in path and not path.startswith("qprobe[")]
    assert len(named) >= 8
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"(?:^|`)make (\w+)", TEXT, re.MULTILINE)
    assert set(named) == {"demo", "test", "readme", "schemas"}
    assert [name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_every_command_exists(tmp_path):
    listed = run_qprobe("--help", cwd=tmp_path).stdout
    named = set(re.findall(r"[`$] ?qprobe (\w+)", TEXT))
    assert named >= {"doctor", "plan", "explain", "verify", "probe"}
    assert [name for name in named if not re.search(rf"^ +{name}\b", listed, re.MULTILINE)] == []


def test_it_is_short():
    assert len(TEXT.splitlines()) < 220
