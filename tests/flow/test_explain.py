from __future__ import annotations

import pytest

from qprobe.documents.files import parse_document, to_json
from qprobe.errors import InputError
from qprobe.flow.explain import Explanation, explain
from tests.render.samples import plan


@pytest.mark.parametrize(
    "layer", ["encoder.layer.1.qkv", "encoder.layer.1.k.weight", "r.1.q", "1.qkv"]
)
def test_a_group_a_tensor_or_a_fragment_of_one_group(layer):
    assert explain(plan(), layer).group == "encoder.layer.1.qkv"


def test_a_fragment_of_several_groups_is_refused_with_some_of_them():
    with pytest.raises(InputError, match=r"3 groups: encoder.layer.0.qkv, encoder"):
        explain(plan(), "qkv")


@pytest.mark.parametrize("layer", ["encoder.layer.7.qkv", "poller.weight"])
def test_an_unknown_layer_is_refused_with_what_is_near(layer):
    with pytest.raises(InputError, match="no layer") as caught:
        explain(plan(), layer)
    assert "near it: " in caught.value.hint


@pytest.mark.parametrize("layer", ["", "zzz"])
def test_an_unknown_layer_with_nothing_near(layer):
    with pytest.raises(InputError, match="no layer"):
        explain(plan(), layer)


def test_the_explanation_is_a_document():
    made = explain(plan(), "pooler")
    assert parse_document(Explanation, to_json(made), "x") == made
    assert made.decisions["cpu-test"].reasons == ("faster",)
