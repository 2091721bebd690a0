from __future__ import annotations

import pytest

from qprobe.errors import InputError
from qprobe.policy import make_plan
from tests.documents_factory import by_ops, measured_profile, model, objective, sensitivity

MODEL = model()
FAST_INT8 = measured_profile(MODEL, by_ops())


@pytest.mark.parametrize(
    ("pinned", "hint"),
    [
        ({"layers.0.qk": "W8A8"}, "layers.0.qkv"),
        ({"layers.0.qkv": "w8a8"}, "W8A8"),
        ({"layers.0.qkv": "int8"}, "did you mean"),
    ],
    ids=["group", "case", "scheme"],
)
def test_an_unknown_pin_lists_what_comes_close(pinned, hint):
    with pytest.raises(InputError) as raised:
        make_plan(MODEL, FAST_INT8, objective(pinned=pinned))
    assert hint in raised.value.hint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((model([]), FAST_INT8, objective(), None), "no linear layers"),
        ((MODEL, [], objective(), None), "no profile"),
        ((MODEL, [FAST_INT8, FAST_INT8], objective(), None), "two profiles are of cpu-test"),
        (
            (MODEL, FAST_INT8, objective(), sensitivity(model(model_hash="f" * 16))),
            "is of model ffffffffffffffff",
        ),
        ((MODEL, FAST_INT8, objective(prompt=9000), None), "takes at most 8192"),
    ],
    ids=["no-linears", "no-profile", "twice", "other-model", "too-long"],
)
def test_documents_that_do_not_fit_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        make_plan(*arguments)
