"""Kernels of one packing take turns by what they are for, wherever nothing was measured."""

import pytest

from qprobe.documents import arch
from qprobe.documents.scheme import SCHEMES
from qprobe.documents.turns import most_rows
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.kernels.registry import all_kernels
from qprobe.policy.cells import Unavailable
from qprobe.policy.timing import GroupClock
from tests.documents_factory import fact, linear, measurement, objective, profile, skipped

ONE = (linear("w"),)
FACTS = (
    fact("new", ("W4A16", "W8A8"), "p", min_rows=33, multiplies_codes=True),
    fact("few", ("W4A16",), "p", max_rows=8),
    fact("older", ("W4A16", "W8A8"), "p", min_rows=2, max_rows=128, multiplies_codes=True),
    fact("aside", ("W4A16", "W8A8"), "p", min_rows=129, dequantizes=True),
    fact("oldest", ("W4A16", "W8A8"), "p", max_rows=8),
)
"""The best first; by name they are in another order."""


def took(scheme, kernel, m, seconds):
    return measurement(scheme, kernel, m, 64, 64, seconds)


def turns(*measurements, scheme="W4A16", facts=FACTS, **asked):
    names = tuple(sorted(item.kernel for item in facts if scheme in item.schemes))
    found = GroupClock(profile(measurements, kernels=facts), objective(**asked)).time(
        ONE, scheme, names, "float32"
    )
    return [(item.kernel, item.m_max) for item in found.kernels]


@pytest.mark.parametrize("prompt", [1, 9, 128, 4096])
@pytest.mark.parametrize("generate", [0, 16])
def test_where_nothing_was_measured_kernels_take_turns_as_without_a_plan(prompt, generate):
    asked = {"prompt": prompt, "generate": generate}
    assert turns(**asked) == [("few", 8), ("older", 32), ("new", None)]
    without_new = turns(facts=FACTS[1:], **asked)
    assert without_new == [("few", 8), ("older", 128), ("aside", None)]
    without_few = turns(facts=(FACTS[0], *FACTS[2:]), **asked)
    assert without_few == [("oldest", 1), ("older", 32), ("new", None)]


def test_what_no_device_has_measured_is_planned_where_it_was_measured():
    facts = (FACTS[0].model_copy(update={"unproven": True}), *FACTS[1:])
    assert turns(facts=facts, prompt=512) == [
        ("few", 8),
        ("older", 128),
        ("aside", None),
    ]
    found = turns(took("W4A16", "new", 512, 1e-12), facts=facts, prompt=512)
    assert found == [("new", None)]


def test_codes_are_multiplied_at_their_own_rate():
    for prompt in (512, 4096):
        assert turns(scheme="W8A8", prompt=prompt)[-1] == ("new", None)
    floats = tuple(item.model_copy(update={"multiplies_codes": False}) for item in FACTS)
    int8, plain = (
        GroupClock(profile(kernels=facts), objective(prompt=4096))
        .time(ONE, "W8A8", ("new",), "float32")
        .request.value
        for facts in (FACTS, floats)
    )
    assert int8 < plain


def measured(**rows):
    """Kernel → {M: seconds}."""
    found = ((kernel, m, s) for kernel, points in rows.items() for m, s in points.items())
    return [took("W4A16", kernel, m, seconds) for kernel, m, seconds in found]


@pytest.mark.parametrize("newest", [{1: 3e-9}, {1: 3e-9, 512: 1e-6}])
def test_a_kernel_that_was_measured_for_few_rows_is_not_planned_for_many(newest):
    """What a request does not need was not measured: batches of a server are somewhere between."""
    both = measured(oldest={1: 1e-9}, new=newest)
    assert turns(*both, prompt=max(newest)) == [("oldest", 8), ("new", None)]
    four = both + measured(older={1: 2e-9}, aside={1: 9e-9, 512: 2e-6})
    assert turns(*four, prompt=512, generate=9) == [("oldest", 1), ("older", 32), ("new", None)]
    three = [one for one in four if one.cell.kernel != "new"]
    assert turns(*three, prompt=512, generate=9) == [
        ("oldest", 1),
        ("older", 128),
        ("aside", None),
    ]


def test_between_rows_where_one_kernel_was_fastest_no_other_takes_a_turn():
    """Though what is extrapolated of the others is less than what is interpolated of it."""
    facts = tuple(item for item in FACTS if item.kernel not in ("aside", "few"))
    of_one = measured(new={1: 1e-9, 512: 1e-3}, oldest={1: 2e-9}, older={1: 2e-9})
    assert turns(*of_one, facts=facts, prompt=512, generate=9) == [("new", None)]


def test_a_kernel_that_was_measured_on_both_sides_is_for_what_is_between():
    facts = (FACTS[0], FACTS[2], FACTS[4])
    found = measured(oldest={1: 1e-9}, older={1: 2e-9, 128: 2e-8}, new={1: 6e-9, 128: 2.5e-8})
    assert turns(*found, facts=facts, prompt=128, generate=9) == [
        ("oldest", 1), ("older", 128), ("new", None)
    ]  # fmt: skip


def test_a_kernel_that_won_at_its_last_rows_ends_there():
    found = measured(older={128: 1e-8}, new={128: 2e-8}, aside={128: 3e-8})
    assert turns(*found, prompt=128) == [("older", 128), ("new", None)]


def test_a_kernel_that_is_wrong_at_some_rows_is_not_taken_for_more():
    facts = FACTS[2:]
    found = GroupClock(
        profile(
            measured(oldest={1: 1e-9}, older={1: 2e-9, 128: 2e-8}, aside={1: 1e-8}),
            kernels=facts,
            skipped=(skipped("W4A16", "aside", 128, 64, 64, "wrong numbers"),),
        ),
        objective(prompt=128, generate=9),
    ).time(ONE, "W4A16", ("aside", "older", "oldest"), "float32")
    ranges = [(item.kernel, item.m_max) for item in found.kernels]
    assert ranges == [("oldest", 1), ("older", None)]


def test_a_profile_of_an_earlier_version_is_read_as_it_was():
    old = profile(kernels=(fact("k", ("W8A8",)), fact("reference", tuple(SCHEMES))))
    facts = old.kernel_facts()
    assert (facts["k"].multiplies_codes, facts["k"].dequantizes) == (True, False)
    assert (facts["reference"].multiplies_codes, facts["reference"].dequantizes) == (False, True)


def test_what_is_for_some_rows_leaves_the_others_to_those_behind_it():
    middle = fact("middle", ("W4A16",), "p", min_rows=33, max_rows=128)
    assert most_rows([middle, fact("any", ("W4A16",), "p")]) == [128, None]
    assert most_rows([fact("other", (), "q", min_rows=33), fact("any", (), "p")]) == [None, None]


def test_what_is_for_any_rows_leaves_few_to_those_that_are_for_them():
    facts = [fact("any", (), "p"), fact("few", (), "p", max_rows=16)]
    assert most_rows(facts) == [None, 16]
    ours = [kernel for kernel in all_kernels().values() if kernel.device == "cpu"]
    assert {kernel.max_rows for kernel in ours} >= {None, 16, 64}
    assert most_rows(ours) == [kernel.max_rows for kernel in ours]


@pytest.mark.parametrize(("capability", "rows"), [("8.0", 1), ("9.0", 0)])
def test_of_two_that_are_for_few_rows_the_better_takes_all_its_turns(capability, rows):
    ours = [
        kernel
        for kernel in cuda_kernels()
        if not arch.missing(all_sources()[kernel.id[5:]].manifest.requires, capability)
    ]
    limits = dict(zip([kernel.id for kernel in ours], most_rows(ours), strict=True))
    assert limits["cuda.gemv_w4a16"] == rows
    assert limits["cuda.gemv_w8a16"] == 1
    assert limits.get("cuda.gemm_w4a16_bulk", 8) == 8


def test_a_kernel_that_failed_takes_no_turn():
    facts = FACTS[2:]
    words = [skipped("W4A16", "older", 1, 64, 64, "wrong numbers")]
    found = GroupClock(
        profile(
            measured(oldest={1: 1e-9}, aside={1: 1e-8, 512: 1e-7}),
            kernels=facts,
            skipped=tuple(words),
        ),
        objective(prompt=512, generate=9),
    ).time(ONE, "W4A16", ("aside", "older", "oldest"), "float32")
    assert [(item.kernel, item.m_max) for item in found.kernels] == [("oldest", 8), ("aside", None)]


def test_what_was_measured_is_taken_whatever_a_kernel_is_meant_for():
    assert turns(took("W4A16", "aside", 16, 1e-12), prompt=16)[-1] == ("aside", None)


def test_a_kernel_for_few_rows_alone_is_no_way_for_many():
    found = GroupClock(profile(kernels=FACTS), objective(prompt=9)).time(
        ONE, "W4A16", ("few", "oldest"), "float32"
    )
    words = "it is meant for M up to 8"
    assert found == Unavailable((f"few: {words}", f"oldest: {words}"))
