"""Every document survives JSON, and its schema accepts it."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from qprobe.documents.files import load_document, parse_document, save_document, to_json
from qprobe.documents.schemas import make_schema
from tests.documents.strategies import TOP_DOCUMENTS, documents, simplest

FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = [kind.__name__ for kind in TOP_DOCUMENTS]


def test_every_document_that_has_a_file_is_known():
    assert NAMES == [
        "Diagnosis", "Machine", "Model", "Plan", "Profile", "Receipt", "Sensitivity"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", TOP_DOCUMENTS, ids=NAMES)
@FEW
@given(data=st.data())
def test_a_document_equals_its_json(kind, data):
    document = data.draw(documents(kind))
    assert parse_document(kind, to_json(document), "it") == document


@pytest.mark.parametrize("kind", TOP_DOCUMENTS, ids=NAMES)
@FEW
@given(data=st.data())
def test_the_schema_accepts_what_is_written(kind, data):
    content = json.loads(to_json(data.draw(documents(kind))))
    Draft202012Validator(make_schema(kind)).validate(content)


@pytest.mark.parametrize("kind", TOP_DOCUMENTS, ids=NAMES)
def test_a_file_gives_the_document_back(kind, tmp_path):
    document = simplest(kind)
    save_document(document, tmp_path / "it.json")
    assert load_document(kind, tmp_path / "it.json") == document


@pytest.mark.parametrize("kind", TOP_DOCUMENTS, ids=NAMES)
def test_the_content_hash_ignores_who_wrote_it_and_when(kind):
    document = simplest(kind)
    other = document.model_copy(
        update={"qprobe_version": "9.9", "created_utc": document.created_utc.replace(year=2040)}
    )
    assert other.content_hash() == document.content_hash()
