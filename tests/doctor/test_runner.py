"""The order of checks, what they need, and what becomes of one that breaks."""

from __future__ import annotations

from graphlib import CycleError

import pytest

from qprobe.doctor import list_checks, run_checks
from qprobe.doctor._check import Check, version_of
from qprobe.doctor.runner import diagnose, in_order
from qprobe.documents.finding import Fix
from qprobe.errors import InputError
from tests.doctor.machines import load

MACHINE = load("epyc_avx2")


def make(name, needs=(), status="ok"):
    def run(machine):
        match status:
            case "ok":
                return check.ok("fine")
            case "warn":
                return check.warn("so so", "", Fix(text="try"))
            case "fail":
                return check.fail("bad", "", Fix(text="try"))
            case "skip":
                return check.skip("absent")
            case _:
                raise ValueError("no such\nstatus")

    check = Check(id=name, title=name.title(), why="because", needs=needs, run=run)
    return check


def test_there_are_at_least_ten_checks():
    assert len(list_checks()) >= 10


def test_a_check_comes_after_those_it_needs():
    order = [check.id for check in list_checks()]
    for check in list_checks():
        assert all(order.index(need) < order.index(check.id) for need in check.needs)


def test_order_does_not_depend_on_the_order_of_discovery():
    checks = (make("c"), make("a", ("c",)), make("b"))
    assert in_order(checks) == in_order(checks[::-1])


def test_needs_that_go_in_a_circle_are_refused():
    with pytest.raises(CycleError):
        in_order((make("a", ("b",)), make("b", ("a",))))


def test_a_need_that_is_no_check_is_refused():
    with pytest.raises(KeyError, match="nowhere"):
        in_order((make("a", ("nowhere",)),))


@pytest.mark.parametrize("status", ["fail", "skip", "crash"])
def test_check_is_skipped_when_its_need_is_not_met(status):
    _, second = diagnose(MACHINE, (make("first", status=status), make("second", ("first",))))
    assert second.status == "skip"
    assert second.summary == "needs First"


@pytest.mark.parametrize("status", ["ok", "warn"])
def test_check_runs_when_its_need_is_met(status):
    _, second = diagnose(MACHINE, (make("first", status=status), make("second", ("first",))))
    assert second.status == "ok"


def test_skipping_is_passed_on():
    chain = (make("a", status="fail"), make("b", ("a",)), make("c", ("b",)))
    assert [finding.status for finding in diagnose(MACHINE, chain)] == ["fail", "skip", "skip"]


def test_check_that_raises_is_a_crash_in_its_own_words():
    (finding,) = diagnose(MACHINE, (make("broken", status="crash"),))
    assert finding.status == "crash"
    assert "ValueError: no such status" in finding.detail


def test_only_gives_the_named_findings():
    assert [finding.id for finding in run_checks(MACHINE, ["memory", "bf16"])] == ["memory", "bf16"]


def test_only_still_asks_what_a_check_needs():
    (finding,) = run_checks(load("no_torch"), ["bf16"])
    assert (finding.status, finding.summary) == ("skip", "needs PyTorch")


def test_unknown_name_lists_the_known_ones_and_the_closest():
    with pytest.raises(InputError, match="there is no check 'memry'") as caught:
        run_checks(MACHINE, ["memry"])
    assert caught.value.hint.startswith("did you mean memory? known are ")
    assert all(check.id in caught.value.hint for check in list_checks())


def test_unknown_name_without_a_close_one():
    with pytest.raises(InputError) as caught:
        run_checks(MACHINE, ["zzz"])
    assert caught.value.hint.startswith("known are ")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("2.13.0+cpu", (2, 13, 0)),
        ("0.45", (0, 45)),
        ("2.6.0a0+git1234", (2, 6, 0)),
        ("5.0rc1", (5, 0)),
        ("5.dev3", (5,)),
        ("", ()),
        ("unknown", ()),
    ],
)
def test_version_of_takes_the_leading_numbers(text, numbers):
    assert version_of(text) == numbers
