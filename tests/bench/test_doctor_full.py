"""What counts as a contradiction between the doctor and the same method by hand, and that all of it is there."""

from __future__ import annotations

import json
import sys
from itertools import cycle

import pytest
import torch

from qprobe.doctor import list_methods
from qprobe.documents.finding import Speed, Trial, Verdict
from tests.bench import doctor_by_hand, doctor_full
from tests.bench.by_hand._hand import all_hands
from tests.bench.by_hand._peft import MERGES
from tests.bench.doctor_beside import Hand, StepByHand, compare, steps_of
from tests.bench.doctor_page import EXPECTED, page
from tests.render import samples

METHODS = {method.id for method in list_methods()}
STEP = "bfloat16, M = 1, N = 8, K = 8"


def verdict(word="slow", ratio=0.5, outcome="right", **more) -> Verdict:
    speed = Speed(
        m=32, n=2048, k=2048, activation_dtype="bfloat16", median_s=1e-3, unquantized_s=ratio * 1e-3,
        unquantized_dtype="bfloat16", ratio=ratio, ratio_low=ratio * 0.95, ratio_high=ratio * 1.05,
    )  # fmt: skip
    is_timed = word in ("fast", "works", "slow")
    trial = Trial(name=STEP, outcome=outcome, error=0.01, limit=0.05)
    fields = {"trials": (trial,), "speeds": (speed,) if is_timed else ()}
    given = {"method": "hqq-int4", "device": "cpu", "why": "it", "evidence": "measured"}
    return Verdict(verdict=word, **given | fields | more)


def hand(error=0.01, raised="", ratios=None, dead=False, words="") -> Hand:
    step = StepByHand(error, raised, is_dead=dead)
    near = {m: (r, r * 0.9, r * 1.1) for m, r in ({32: 0.5} if ratios is None else ratios).items()}
    return Hand({STEP: step}, near, words)


DEAD = hand(None, "status -11", dead=True)


@pytest.mark.parametrize(
    ("given", "by_hand", "words"),
    [
        (verdict(), hand(ratios={32: 0.55}), ""),
        (verdict(), hand(ratios={32: 2.0}), "M = 32: 0.47 to 0.53, by hand 1.8 to 2.2"),
        (verdict(), hand(ratios={}), "M = 32: not timed by hand"),
        (verdict(), hand(0.9), f"{STEP}: right, but by hand broken by 0.9"),
        (verdict(), hand(0.18), ""),  # what HQQ's 4 bits lose comes on top
        (verdict(), hand(None), f"{STEP}: right, but by hand broken"),
        (verdict(), DEAD, "right, but by hand broken status -11"),
        (verdict(), hand(None, "ValueError: no"), "right, but by hand raises ValueError: no"),
        (verdict(), hand(words="its start: status 1"), "its start: status 1"),
        (verdict("broken", outcome="wrong"), hand(1.2), ""),
        (verdict("broken", outcome="wrong"), hand(), f"{STEP}: broken, but by hand right by 0.01"),
        (verdict("broken", outcome="died"), DEAD, ""),
        (verdict("broken", outcome="wrong"), DEAD, ""),  # by chance
        (verdict("broken", outcome="died"), hand(), "broken, but by hand right"),
        (verdict("broken", outcome="failed"), hand(None, "KeyError: 3"), ""),
        (verdict("unsupported", outcome="refused"), hand(None, "ValueError: no"), ""),
        (verdict("unsupported", outcome="refused"), hand(), "raises, but by hand right"),
        (verdict("not_installed", trials=()), hand(None, "ModuleNotFoundError: no hqq"), ""),
        (verdict("not_installed", trials=()), hand(), "not installed, but by hand it runs"),
    ],
)  # fmt: skip
def test_what_contradicts_is_told(given, by_hand, words):
    found = compare(given, by_hand)
    assert words in found
    assert bool(found) == bool(words)


def test_every_method_is_written_down():
    assert set(all_hands()) | set(MERGES) == METHODS
    assert set(EXPECTED) <= METHODS


def test_steps_are_what_has_an_answer_and_one_of_what_is_not_there():
    names = ("import torch", STEP, f"timing {STEP}", "C++ kernels", "float16, merged x, K = 8")
    trials = tuple(Trial(name=name, outcome="right") for name in names)
    assert list(steps_of(verdict(trials=trials))) == [STEP, "float16, merged x, K = 8"]
    assert len(list(steps_of(verdict("not_installed", trials=())))) == 1


def test_the_page_tells_what_does_not_agree_and_where_it_breaks():
    given = samples.diagnosis(verdicts=(verdict(),))
    broken = verdict("broken", outcome="wrong", method="torch-int8pack")
    rows = [(verdict(), hand(ratios={32: 2.0})), (broken, DEAD),
            (broken, hand(None))]  # fmt: skip
    text = page(given, rows)
    assert "2 of 3 agree" in text
    assert "- hqq-int4: M = 32" in text
    assert (
        "| hqq-int4 | slow | M=32: 0.5 (0.47 to 0.53) | M=32: 2 (1.8 to 2.2) | 1 with 0.01 |"
        in text
    )
    assert "| torch-int8pack | broken | – | M=32: 0.5 (0.45 to 0.55) | 1 not finite |" in text
    assert f"- torch-int8pack, {STEP}: wrong, off by 0.01; by hand status -11" in text
    assert "- hqq-int4: slow (expected: slow)" in text
    assert "- peft-merge-nf4: not tried (expected: broken)" in text


@pytest.mark.parametrize("method", ["torch-int-mm", "qprobe-w8a8", "torch-scaled-mm"])
@pytest.mark.parametrize("m", [1, 5])
def test_a_layer_by_hand_is_as_right_as_its_bits_allow(method, m):
    found = doctor_by_hand.try_step(method, f"bfloat16, M = {m}, N = 32, K = 64")
    assert 1e-4 < found["error"] < 0.08


def test_what_a_library_raises_is_an_answer_and_what_nobody_knows_is_told():
    found = doctor_by_hand.try_step("torch-int4pack", "bfloat16, M = 1, N = 32, K = 70")
    assert "RuntimeError" in found["words"]
    assert "nobody knows" in doctor_by_hand.try_step("torch-int-mm", "something else")["words"]


def test_ratios_are_those_of_blocks_in_turn(monkeypatch):
    monkeypatch.setattr(doctor_by_hand, "BLOCK_S", 0.0)
    order = []
    calls = [
        cycle([lambda name=name: order.append(name) for name in names]) for names in ("ab", "c")
    ]
    other = [cycle([lambda: order.append("d")])]
    seconds = doctor_by_hand.take_turns({1: calls, 32: other}, 0.0, 0.0)
    assert [[len(rounds) for rounds in seconds[m]] for m in (1, 32)] == [[7, 7], [7]]
    # A warm call and one that counts, then the other, then the next number of rows.
    assert order[:6] == ["a", "b", "c", "c", "d", "d"]
    assert len(order) == 6 * doctor_by_hand.ROUNDS


def test_a_ratio_is_that_of_the_fastest_of_both_kinds_in_the_same_rounds():
    slow, fast = [9.0] * 7, [1.0, 1.0, 2.0, 1.0, 1.0, 50.0, 1.0]
    plain = [2.0, 2.0, 4.0, 2.0, 2.0, 2.0, 2.0]
    assert doctor_by_hand._ratio([slow, fast], [slow, plain]) == (2.0, 2.0, 2.0)


def test_as_many_layers_as_no_cache_holds(monkeypatch):
    monkeypatch.setattr(doctor_by_hand, "CACHES_BYTES", 100)
    ways = doctor_by_hand.make_copies(lambda: [torch.abs, torch.neg], 30)
    assert [len(way) for way in ways] == [4, 4]
    assert ways[1][0] is torch.neg


def planted(monkeypatch, source, tmp_path):
    (tmp_path / "planted.py").write_text(source)
    monkeypatch.setattr(doctor_full, "BY_HAND", (sys.executable, str(tmp_path / "planted.py")))


DIES = """
import json, os, signal, sys
for name in sys.argv[5:]:
    print(json.dumps({"begin": name}), flush=True)
    if "M = 2" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    print(json.dumps({"step": name, "error": 0.5}), flush=True)
print(json.dumps({"ratios": {"32": [2.0, 1.0, 3.0]}}))
"""


def test_a_step_that_takes_the_process_with_it_leaves_the_others(monkeypatch, tmp_path):
    planted(monkeypatch, DIES, tmp_path)
    names = [f"bfloat16, M = {m}, N = 8, K = 8" for m in (1, 2, 3)]
    trials = tuple(Trial(name=name, outcome="right") for name in names)
    found = doctor_full.run_by_hand(verdict(trials=trials))
    assert [found.steps[name].error for name in names] == [0.5, None, 0.5]
    assert "status -11" in found.steps[names[1]].words
    assert found.ratios == {32: (2.0, 1.0, 3.0)}


def test_what_dies_at_its_start_is_told_and_is_the_end(monkeypatch, tmp_path):
    planted(monkeypatch, "raise ImportError('no such thing')", tmp_path)
    found = doctor_full.run_by_hand(verdict())
    assert found.words == "its start: status 1: ImportError: no such thing"
    assert json.dumps(found.ratios) == "{}"
