"""The shipped JSON Schemas are those of the documents."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from qprobe.documents.schemas import FOLDER, KINDS, write_schemas
from tests.documents.strategies import TOP_DOCUMENTS


def test_every_document_that_has_a_file_has_a_schema():
    assert KINDS == TOP_DOCUMENTS


def test_the_shipped_schemas_are_not_stale(tmp_path):
    write_schemas(tmp_path)
    fresh = {path.name: path.read_text() for path in tmp_path.iterdir()}
    shipped = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert shipped == fresh, "run `make schemas`"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_is_a_schema(path):
    Draft202012Validator.check_schema(json.loads(path.read_text()))
