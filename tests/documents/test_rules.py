"""What the fields of a document say about one another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from qprobe.documents.files import parse_document, to_json
from qprobe.documents.machine import Fingerprint, slugify
from qprobe.documents.model import KvWindow, Linear, Model, RowRule
from qprobe.documents.plan import Plan
from qprobe.documents.scheme import SCHEMES, Scheme
from qprobe.errors import InputError
from tests.documents.strategies import simplest
from tests.documents_factory import model as factory_model

DEVICE = Fingerprint(
    slug="cpu-a", kind="cpu", name="A", features=("avx2",), units=2, memory_bytes=1, software={}
)
LINEAR = Linear(
    tensor="a.weight",
    n=3,
    k=5,
    dtype="float32",
    has_bias=True,
    kind="query",
    fusion_group="a",
    rows="tokens",
)


def edit(change: Callable[[dict[str, Any]], object]) -> str:
    """The JSON of a valid plan, after a change."""
    content = json.loads(to_json(simplest(Plan)))
    change(content)
    return json.dumps(content)


def section(content: dict[str, Any]) -> dict[str, Any]:
    return content["targets"][content["primary"]]


def group(content: dict[str, Any]) -> dict[str, Any]:
    return section(content)["groups"][content["assignments"][0]["group"]]


def kernels(*ranges: tuple[int, int | None]) -> list[dict[str, Any]]:
    return [{"kernel": "reference", "m_min": first, "m_max": last} for first, last in ranges]


def choose(content: dict[str, Any], *scheme_groups: tuple[str, list[str]]) -> None:
    """Add an alternative that treats groups so."""
    chosen = [
        {"scheme": scheme, "algorithm": "rtn", "kernels": kernels((1, None)), "groups": groups}
        for scheme, groups in scheme_groups
    ]
    section(content)["alternatives"] = [
        {"name": "W8A16", "feasible": False, "why": "", "predicted": None, "choices": chosen}
    ]


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a tensor twice": (
        lambda plan: plan["assignments"].append(plan["assignments"][0]),
        "assignments: tensor listed twice: .0.weight",
    ),
    "no section for the primary device": (
        lambda plan: plan.update(primary="cpu-nowhere"),
        "primary: 'cpu-nowhere' is not among targets",
    ),
    "no section at all": (lambda plan: plan.update(targets={}), "targets: "),
    "a section under another name": (
        lambda plan: section(plan)["fingerprint"].update(slug="cpu-other"),
        "holds a section of 'cpu-other'",
    ),
    "a group without a decision": (
        lambda plan: plan["assignments"].append({"tensor": "t", "group": "g", "n": 1, "k": 1}),
        "groups: no decision for g",
    ),
    "a decision without a group": (
        lambda plan: section(plan)["groups"].update(stray=group(plan)),
        "groups: not among assignments: stray",
    ),
    "ranges that start late": (
        lambda plan: group(plan).update(kernels=kernels((2, None))),
        "ranges of M must follow one another",
    ),
    "ranges with a hole": (
        lambda plan: group(plan).update(kernels=kernels((1, 4), (6, None))),
        "ranges of M must follow one another",
    ),
    "ranges that end": (
        lambda plan: group(plan).update(kernels=kernels((1, 4))),
        "ranges of M must follow one another",
    ),
    "a range upside down": (
        lambda plan: group(plan).update(kernels=kernels((1, 4), (5, 4), (5, None))),
        "m_max 4 is below m_min 5",
    ),
    "an alternative of an unknown scheme": (
        lambda plan: choose(plan, ("W3A3", [*section(plan)["groups"]])),
        "alternatives.0.choices.0.scheme: unknown scheme 'W3A3'; known are NONE,",
    ),
    "an alternative that decides of another group": (
        lambda plan: choose(plan, ("W8A16", [*section(plan)["groups"]]), ("NONE", ["stray"])),
        "alternatives.0.choices: not one decision for each group: stray",
    ),
    "an alternative that decides twice": (
        lambda plan: choose(plan, *[("NONE", [*section(plan)["groups"]])] * 2),
        "alternatives.0.choices: not one decision for each group:",
    ),
    "an alternative that leaves a group out": (
        lambda plan: (
            plan["assignments"].append({"tensor": "t", "group": "g", "n": 1, "k": 1}),
            section(plan)["groups"].update(g=group(plan)),
            choose(plan, ("W8A16", [name for name in section(plan)["groups"] if name != "g"])),
        ),
        "alternatives.0.choices: not one decision for each group: g",
    ),
    "an unknown scheme": (
        lambda plan: group(plan)["scheme"].update(name="W3A3"),
        "unknown scheme 'W3A3'; known are NONE, BF16, FP16, W8A16,",
    ),
    "a scheme that is not what its name says": (
        lambda plan: group(plan).update(
            scheme=json.loads(SCHEMES["W8A8"].model_dump_json()) | {"input_activations": None}
        ),
        "scheme 'W8A8' is not written as the preset of that name",
    ),
}


@pytest.mark.parametrize(("change", "complaint"), BROKEN.values(), ids=BROKEN)
def test_a_plan_whose_parts_do_not_fit_is_refused(change, complaint):
    with pytest.raises(InputError) as caught:
        parse_document(Plan, edit(change), "plan.json")
    assert str(caught.value).startswith("plan.json is not a valid plan: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_with_a_tensor_twice_is_refused():
    content = json.loads(to_json(simplest(Model)))
    content["linears"] = [json.loads(LINEAR.model_dump_json())] * 2
    with pytest.raises(InputError, match=r"tensor listed twice: a\.weight"):
        parse_document(Model, json.dumps(content), "model.json")


def test_the_groups_of_a_model_keep_the_order_of_the_checkpoint():
    linears = [
        LINEAR.model_copy(update={"tensor": tensor, "fusion_group": group})
        for tensor, group in (("k", "qk"), ("up", "up"), ("q", "qk"))
    ]
    model = simplest(Model).model_copy(update={"linears": tuple(linears)})
    found = {group: [one.tensor for one in members] for group, members in model.groups().items()}
    assert found == {"qk": ["k", "q"], "up": ["up"]}


def test_a_plan_gives_the_section_of_the_device_else_the_primary_one():
    plan = simplest(Plan)
    primary = plan.targets[plan.primary]
    own = primary.model_copy(update={"fingerprint": DEVICE})
    plan = plan.model_copy(update={"targets": {plan.primary: primary, DEVICE.slug: own}})
    assert plan.section(DEVICE) == own
    assert plan.section(DEVICE.model_copy(update={"slug": "cpu-b"})) == primary


ROWS = {
    "tokens": ({}, 4 * 7, 4),
    "last_token": ({}, 4, 4),
    "sequence": ({}, 4, 4),
    "generated": ({}, 4, 4),
    "prompt": ({}, 4 * 7, 0),
    "context": ({}, 4 * 7, 4 * 10),
    "frames": ({"frames": 1500}, 4 * 1500, 0),
    # 28 tokens to 2 of 5 experts each are 11.2 an expert.
    "experts": ({"count": 5, "top_k": 2}, 12, 2),
}


@pytest.mark.parametrize("rows", get_args(RowRule))
def test_the_rows_of_a_linear_follow_its_rule(rows):
    numbers, prefill, decode = ROWS[rows]
    linear = Linear(**LINEAR.model_dump() | {"rows": rows} | numbers)
    assert linear.m(batch=4, tokens=7) == prefill
    assert linear.m(batch=4, tokens=1, past=9) == decode


EXPERTS = Linear(**LINEAR.model_dump() | {"rows": "experts", "count": 256, "top_k": 8})


@pytest.mark.parametrize(
    ("batch", "tokens", "m", "calls"), [(1, 1, 1, 8), (2, 1, 1, 16), (1, 32, 1, 163), (1, 4096, 128, 256)]
)  # fmt: skip
def test_few_tokens_hit_few_experts_and_many_hit_all(batch, tokens, m, calls):
    assert (EXPERTS.m(batch, tokens), EXPERTS.calls(batch, tokens)) == (m, calls)


def test_a_token_goes_to_every_expert_where_it_goes_to_all():
    linear = Linear(**EXPERTS.model_dump() | {"count": 8})
    assert (linear.m(3, 5), linear.calls(3, 5)) == (15, 8)


def test_what_is_no_expert_is_called_once():
    assert LINEAR.calls(batch=4, tokens=7) == 1


MISPLACED = {
    "top_k without experts": ({"top_k": 2}, "top_k is 2 with rows of tokens"),
    "experts without top_k": ({"rows": "experts", "count": 4}, "top_k is None with rows of experts"),
    "frames without the rule": ({"frames": 9}, "frames is 9 with rows of tokens"),
    "the rule without frames": ({"rows": "frames"}, "frames is None with rows of frames"),
    "more than all": ({"rows": "experts", "count": 4, "top_k": 5}, "top_k is 5 of 4 experts"),
    "several that are no experts": ({"count": 2}, "count is 2 with rows of tokens"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), MISPLACED.values(), ids=MISPLACED)
def test_numbers_that_do_not_belong_to_the_rule_are_refused(change, words):
    with pytest.raises(ValidationError, match=words):
        Linear(**LINEAR.model_dump() | change)


CACHES = {
    "all tokens": ({}, 10 * (16 + 4)),
    "a window within": ({"kv_windows": ({"elements_per_token": 6, "tokens": 8},)}, 4 * 20 + 6 * 8),
    "a window beyond": ({"kv_windows": ({"elements_per_token": 6, "tokens": 99},)}, 10 * 20),
    "an encoder of sound": (
        {"cross_kv_elements_per_token": 3, "encoder_frames": 50}, 10 * 20 + 3 * 50,
    ),
    "an encoder of text": ({"cross_kv_elements_per_token": 3}, 10 * (1 + 4) + 3 * 16),
    "frames alone": ({"encoder_frames": 50, "kv_elements_per_token": 0}, 0),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CACHES.values(), ids=CACHES)
def test_the_cache_at_the_end_of_a_request(changes, expected):
    fields = factory_model(kv_elements_per_token=10).model_dump() | changes
    assert Model(**fields).kv_elements(prompt=16, generate=4) == expected


def test_windows_of_more_than_the_cache_are_refused():
    with pytest.raises(ValidationError, match="kv_windows: 11 elements a token, of 10 in all"):
        factory_model(
            kv_elements_per_token=10,
            kv_windows=(KvWindow(elements_per_token=11, tokens=1),),
        )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, True), ({"encoder_frames": 50}, False), ({"cross_kv_elements_per_token": 3}, False)],
)
def test_what_takes_more_than_token_ids_says_so(changes, expected):
    assert factory_model(**changes).reads_only_text is expected


def test_frames_are_live_where_a_prompt_is_short():
    assert factory_model(encoder_frames=50).prefill_tokens(16) == 50
    assert factory_model().prefill_tokens(16) == 16


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("NONE", 15 * 4), ("BF16", 15 * 2), ("W8A16", 15 + 3 * 4), ("W8A8", 15 + 3 * 4)],
)
def test_the_bytes_of_a_weight_are_exact(scheme, expected):
    assert SCHEMES[scheme].weight_bytes(LINEAR.n, LINEAR.k, "float32") == expected


def test_the_bytes_of_a_bias_are_those_of_its_type_or_none():
    assert LINEAR.bias_bytes("bfloat16") == 6
    assert LINEAR.model_copy(update={"has_bias": False}).bias_bytes("bfloat16") == 0
    assert EXPERTS.bias_bytes("bfloat16") == 256 * 6


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_a_preset_is_valid_as_written(scheme):
    assert Scheme.model_validate_json(scheme.model_dump_json()) == scheme


def test_equal_devices_do_not_differ():
    assert DEVICE.differences(DEVICE.model_copy()) == ()


def test_what_differs_is_named_with_both_values():
    other = DEVICE.model_copy(update={"units": 64, "features": ()})
    assert DEVICE.differences(other) == ("features: ('avx2',) against ()", "units: 2 against 64")
    assert DEVICE.digest() != other.digest()


def test_a_slug_keeps_letters_digits_and_dots():
    assert slugify("cpu", "Intel(R) Xeon® w9 @ 2.5GHz ") == "cpu-intel-r-xeon-w9-2.5ghz"
