"""The script that tries a merge: one that does nothing, the opposite or a part is never right."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from qprobe.doctor import list_methods
from qprobe.doctor._merge import Merge
from qprobe.doctor.execution.messages import End, parse_message
from qprobe.doctor.execution.report import Report
from qprobe.doctor.judge import Outcome, judge
from qprobe.doctor.scripts.merge import DTYPES, ORDERS, WIDTHS, compare, try_merge
from tests.doctor.planted._merges import RAISING, RIGHT, WRONG

METHODS = {method.id: method for method in list_methods() if isinstance(method.script, Merge)}
STEPS = len(DTYPES) * len(ORDERS) * len(WIDTHS)

pytest.importorskip("peft")


def trials(merge):
    read, write = os.pipe()
    try:
        try_merge(merge, Report(write, "cpu", frozenset(), is_full=True))
    finally:
        os.close(write)
    with os.fdopen(read, "rb") as stream:
        messages = [parse_message(line) for line in stream]
    return [m.trial for m in messages if isinstance(m, End)]


def test_a_merge_that_merges_is_right_in_both_types_orders_and_widths():
    found = trials(RIGHT)[1:]
    assert [trial.outcome for trial in found] == ["right"] * STEPS, found
    names = " ".join(trial.name for trial in found)
    assert all(word in names for word in ("bfloat16", "float16", "before", "after", "K = 250"))


@pytest.mark.parametrize("name", WRONG)
def test_a_merge_that_merges_something_else_is_wrong_however_generous_the_limit(name):
    found = trials(WRONG[name])[1:]
    assert [trial.outcome for trial in found] == ["wrong"] * STEPS, found
    assert all(("the merge did nothing" in t.words) == (name == "without") for t in found)


@pytest.mark.parametrize("name", RAISING)
def test_a_merge_that_raises_is_told_in_its_words(name):
    found = trials(RAISING[name][0])
    assert [trial.outcome for trial in found[1:]] == ["failed"] * STEPS
    verdict = judge(METHODS["peft-merge-int8"], "cpu", Outcome(tuple(found), ()))
    assert verdict.verdict == "broken"
    assert RAISING[name][1] in verdict.why


def test_layers_that_cannot_be_made_are_refused_and_not_broken():
    def make(linear, dtype):
        raise ValueError("K is odd")

    assert {trial.outcome for trial in trials(replace(RIGHT, make=make))[1:]} == {"refused"}


@pytest.mark.parametrize("name", METHODS)
def test_no_limit_is_as_large_as_what_a_merge_that_does_nothing_is_off_by(name):
    without, unmerged = torch.ones(3, 8), -torch.ones(3, 8)
    assert METHODS[name].script.limit < 0.4
    nothing = compare(3, without, unmerged, without, METHODS[name].script.limit)
    assert nothing.error > nothing.limit
    opposite = compare(3, without, unmerged, 3 * without, METHODS[name].script.limit)
    assert opposite.error > opposite.limit


def test_an_adapter_that_changes_nothing_proves_nothing():
    same = torch.ones(3, 8)
    answer = compare(3, same, same, same, 0.3)
    assert answer.error > answer.limit
    assert "the adapter changes the output by 0 at M = 3" in answer.words


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_never_right(bad):
    fine, other = torch.ones(3, 8), -torch.ones(3, 8)
    answer = compare(3, fine, other, torch.full((3, 8), bad), 0.3)
    assert not answer.error <= answer.limit
    assert not compare(3, fine, torch.full((3, 8), bad), other, 0.3).error <= 0.3
