"""The self-test itself: what it concludes of products that are right, clip, or are wrong."""

from __future__ import annotations

import time

import pytest
import torch

from qprobe.kernels import int8_self_test as subject


def exact(x, w):
    return x.long() @ w.long().T


def clipping(x, w):
    """As x86 without VNNI: unsigned activations, pairs of products added in 16 bits."""
    products = (x.long() + 128).unsqueeze(1) * w.long().unsqueeze(0)
    if products.shape[-1] % 2:
        products = torch.nn.functional.pad(products, (0, 1))
    pairs = products.unflatten(-1, (-1, 2)).sum(-1).clamp(-(2**15), 2**15 - 1)
    return pairs.sum(-1) - 128 * w.long().sum(-1)


def off_by_one(x, w):
    return exact(x, w) + 1


def refusing(x, w):
    raise NotImplementedError("no such op on this CPU\nwith a long trace")


@pytest.fixture
def judge(monkeypatch):
    """Run the test with other products in the places of the two ops."""

    def run(qlinear, int_mm):
        monkeypatch.setattr(subject, "_qlinear", qlinear)
        monkeypatch.setattr(subject, "_int_mm", int_mm)
        return subject.int8_self_test.__wrapped__()

    return run


def test_this_cpu_has_an_answer_in_words():
    answer = subject.int8_self_test()
    assert answer.outcome in ("exact", "saturates")
    assert "qlinear" in answer.words
    assert (answer.worst_relative_error == 0) == (answer.outcome == "exact")


def test_answer_is_remembered():
    assert subject.int8_self_test() is subject.int8_self_test()


def test_answer_is_quick():
    subject.int8_self_test()
    seconds = []
    for _ in range(5):
        start = time.thread_time()  # what other programs take of the core does not count
        subject.int8_self_test.__wrapped__()
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.05


@pytest.mark.parametrize(
    ("qlinear", "int_mm", "outcome"),
    [
        (exact, exact, "exact"),
        (clipping, exact, "saturates"),
        (exact, clipping, "saturates"),
        (clipping, clipping, "saturates"),
        (off_by_one, exact, "wrong"),
        (clipping, off_by_one, "wrong"),
        (exact, refusing, "failed"),
    ],
)
def test_outcome(judge, qlinear, int_mm, outcome):
    assert judge(qlinear, int_mm).outcome == outcome


def test_clipping_is_seen_at_its_worst(judge):
    assert judge(clipping, exact).worst_relative_error > 0.5


def test_failure_has_the_words_of_the_op_on_one_line(judge):
    answer = judge(refusing, exact)
    assert answer.worst_relative_error is None
    assert answer.words == "onednn.qlinear_pointwise does not run: no such op on this CPU"


def test_missing_op_is_a_failure(judge):
    answer = judge(lambda x, w: torch.ops.onednn.no_such_op(x), exact)
    assert answer.outcome == "failed"
    assert "no_such_op" in answer.words
