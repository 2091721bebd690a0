"""Every bad field of every document is refused, by its name."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from qprobe.documents.base import Document
from tests.documents.strategies import (
    DOCUMENTS,
    constrained,
    field_type,
    lower_bound,
    simplest,
)


def bad_values(annotation: object) -> Iterator[tuple[str, object]]:
    """What a field must refuse, each with a name."""
    inner, constraints = constrained(annotation)
    options = [inner]
    if typing.get_origin(inner) in (types.UnionType, typing.Union):
        parts = [constrained(argument) for argument in typing.get_args(inner)]
        options = [option for option, _ in parts]
        constraints = [one for _, extra in parts for one in extra]
    is_mapping = any(typing.get_origin(option) is dict for option in options)
    yield "wrong type", ["not", {"this": None}] if is_mapping else {"no such key": [None]}
    if type(None) not in options:
        yield "null", None
    if str in options:
        yield "a number for text", 3
    if float in options:
        yield "NaN", math.nan
        yield "infinity", math.inf
        yield "text for a number", "many"
    if int in options:
        yield "half", 0.5
    bound, excluded = lower_bound(constraints)
    if bound is not None:
        yield "too small", bound if excluded else bound - 1
    if any(typing.get_origin(option) is typing.Literal for option in options):
        yield "an unknown word", "no such word"


BAD = [
    pytest.param(kind, name, value, id=f"{kind.__name__}.{name}-{what}")
    for kind in DOCUMENTS
    for name, field in kind.model_fields.items()
    for what, value in bad_values(field_type(field))
]
REQUIRED = [
    pytest.param(kind, name, id=f"{kind.__name__}.{name}")
    for kind in DOCUMENTS
    for name, field in kind.model_fields.items()
    if field.is_required()
]


def blamed(kind: type[Document], content: dict[str, object]) -> set[str]:
    """The fields that validation of `content` complains about."""
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(content)
    return {str(error["loc"][0]) for error in caught.value.errors()}


@pytest.mark.parametrize(("kind", "name", "value"), BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_field(kind, name, value):
    assert blamed(kind, simplest(kind).model_dump() | {name: value}) == {name}


@pytest.mark.parametrize(("kind", "name"), REQUIRED)
def test_a_missing_field_is_refused_by_name(kind, name):
    content = simplest(kind).model_dump()
    del content[name]
    assert blamed(kind, content) == {name}


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
def test_an_unknown_field_is_refused_by_name(kind):
    assert blamed(kind, simplest(kind).model_dump() | {"surprise": 1}) == {"surprise"}


@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
def test_a_document_cannot_be_changed(kind):
    document = simplest(kind)
    name = next(iter(kind.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(document, name, getattr(document, name))
