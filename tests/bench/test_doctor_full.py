"""What counts as a contradiction between the doctor and the same method by hand, and that all of it is there."""

from __future__ import annotations

import pytest

from qprobe.doctor import list_methods
from qprobe.documents.finding import Speed, Trial, Verdict
from tests.bench.doctor_by_hand import LAYERS
from tests.bench.doctor_full import EXPECTED, Hand, compare, page
from tests.bench.peers._peer import all_peers
from tests.render import samples

METHODS = {method.id for method in list_methods()}


def verdict(word="slow", ratio=0.5, outcome="right", **more) -> Verdict:
    speed = Speed(
        m=32, n=2048, k=2048, activation_dtype="bfloat16", median_s=1e-3, unquantized_s=ratio * 1e-3,
        unquantized_dtype="bfloat16", ratio=ratio, ratio_low=ratio * 0.95, ratio_high=ratio * 1.05,
    )  # fmt: skip
    trial = Trial(name="bfloat16, M = 1, N = 8, K = 8", outcome=outcome, error=0.01, limit=0.05)
    fields = {"trials": (trial,), "speeds": (speed,) if word in ("fast", "works", "slow") else ()}
    return Verdict(
        method="hqq-int4",
        device="cpu",
        verdict=word,
        why="it",
        evidence="measured",
        **fields | more,
    )


@pytest.mark.parametrize(
    ("given", "hand", "words"),
    [
        (verdict(), Hand(0.01, {32: 0.55}), ""),
        (verdict(), Hand(0.01, {32: 2.0}), "M = 32: 0.47 to 0.53, by hand 2"),
        (verdict(), Hand(0.9, {32: 0.5}), "off by 0.9"),
        (verdict(), Hand(None, {32: 0.5}), "off by None"),
        (verdict(), Hand(None, {}, "status -11: "), "by hand: status -11"),
        (verdict("broken", outcome="wrong"), Hand(1.2, {}), ""),
        (verdict("broken", outcome="died"), Hand(None, {}, "status -11: "), ""),
        (verdict("broken", outcome="wrong"), Hand(0.01, {}), "broken, but right by hand"),
        (verdict("broken"), Hand(0.01, {}), ""),
    ],
)
def test_what_contradicts_is_told(given, hand, words):
    found = compare(given, hand)
    assert words in found
    assert bool(found) == bool(words)


def test_every_method_and_way_that_is_written_down_is_there():
    assert set(LAYERS) | set(EXPECTED) <= METHODS
    for name, label in LAYERS.values():
        assert label in {way.label for way in all_peers()[name].ways}


def test_the_page_tells_both_what_does_not_agree_and_what_was_not_compared():
    given = samples.diagnosis(verdicts=(verdict(),))
    other = verdict().model_copy(update={"method": "openvino-int8"})
    text = page(given, [(verdict(), Hand(0.01, {32: 2.0})), (other, None)])
    assert "0 of 1 agree" in text
    assert "- hqq-int4: M = 32" in text
    assert "| openvino-int8 | slow | M=32: 0.5 | not written down | – |" in text
    assert "- hqq-int4: slow (expected: slow)" in text
    assert "- peft-merge-nf4: not tried (expected: broken)" in text
