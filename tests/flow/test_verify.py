from __future__ import annotations

import pytest

import qprobe.apply
from qprobe.documents.files import save_document
from qprobe.errors import InputError
from qprobe.flow.verify import verify
from tests.render import samples


@pytest.fixture
def texts(monkeypatch):
    """The texts that a plan was verified on."""
    seen: list[str | None] = []

    def verify_plan(_path, _plan, text=None, *, progress):
        seen.append(text)
        return samples.receipt()

    monkeypatch.setattr(qprobe.apply, "verify_plan", verify_plan, raising=False)
    return seen


@pytest.fixture
def plan_file(tmp_path):
    save_document(samples.plan(), tmp_path / "plan.json")
    return tmp_path / "plan.json"


def test_verifies_on_the_shipped_text_unless_one_is_given(texts, plan_file, tmp_path):
    (tmp_path / "t.txt").write_text("words")
    verify(str(tmp_path), plan_file)
    verify(str(tmp_path), plan_file, str(tmp_path / "t.txt"))
    assert texts == [None, "words"]


def test_a_plan_that_is_none_is_refused_before_the_model_is_read(texts, tmp_path):
    (tmp_path / "plan.json").write_text("[]")
    with pytest.raises(InputError, match=r"plan\.json"):
        verify("/missing", tmp_path / "plan.json")
    assert texts == []
