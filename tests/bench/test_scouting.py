"""What dies in a process of its own is told of, and the rest is tried all the same."""

import pytest

from tests.bench.scouting import Scouted, scout_in_processes

FINE = Scouted("timed", "", 0.25, 1.5)


def scout(*keys):
    wanted = [(key, number) for key in keys for number in (1, 2, 3)]
    found = scout_in_processes("tests.bench.bad_worker", {}, wanted)
    assert set(found) == set(wanted)
    return found


def test_a_crash_costs_only_what_crashed():
    found = scout("crashes", "fine")
    assert found.pop(("crashes", 2)).reason.startswith("the process died of SIGSEGV")
    assert set(found.values()) == {FINE}


def test_what_hangs_is_slow_and_so_is_what_is_larger():
    found = scout("hangs", "fine")
    assert found["hangs", 1] == FINE
    assert found["hangs", 2] == Scouted("slow", "took longer than 1 s")
    assert found["hangs", 3].status == "slow"
    assert found["fine", 3] == FINE


@pytest.mark.parametrize(
    ("key", "words"),
    [("raises", "ValueError: the words of the error"), ("forgets", "without an answer")],
)
def test_no_answer_is_a_failure_with_its_reason(key, words):
    for scouted in scout(key).values():
        assert scouted.status == "failed"
        assert words in scouted.reason
