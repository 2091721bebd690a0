"""Who may share counters: kernels that come one after another, and nobody else."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from qprobe.kernels.cuda import counters

CPU = torch.device("cpu")


def overlap(one, other):
    ends = [(t.data_ptr(), t.data_ptr() + t.numel() * t.element_size()) for t in (one, other)]
    return ends[0][0] < ends[1][1] and ends[1][0] < ends[0][1]


@pytest.mark.parametrize("count", [1, 100, counters.LEAST + 1])
def test_they_are_zero_and_enough(emulated, count):
    for emulated.captures in (False, True):
        found = counters.lend(count, CPU)
        assert found.dtype == torch.int32
        assert len(found) >= count
        assert not found.any()


def test_kernels_of_one_stream_share_them_and_of_others_do_not(emulated):
    first = counters.lend(10, CPU)
    assert counters.lend(20, CPU).data_ptr() == first.data_ptr()
    emulated.stream = 7
    assert not overlap(counters.lend(10, CPU), first)
    emulated.stream = 0
    assert counters.lend(10, CPU).data_ptr() == first.data_ptr()


def test_a_stream_that_is_met_later_gets_what_was_there_before(emulated, monkeypatch):
    """torch's compiler calls a layer once on a stream of its own, and checks that nothing made then stays."""
    counters.provide(0)
    monkeypatch.setattr(counters, "_make", lambda *_: pytest.fail("made in a call"))
    emulated.stream = 7
    assert len(counters.lend(10, CPU)) >= 10


def test_what_is_lent_grows_with_what_is_asked(emulated):
    counters.lend(10, CPU)
    many = counters.lend(3 * counters.LEAST, CPU)
    assert len(many) >= 3 * counters.LEAST
    assert counters.lend(10, CPU).data_ptr() == many.data_ptr()


def test_each_kernel_of_a_graph_has_its_own_even_when_there_are_too_few(emulated, monkeypatch):
    monkeypatch.setattr(counters, "FOR_GRAPHS", 64)
    lent = [counters.lend(10, CPU)]
    for _ in range(3):  # One graph after another; what is kept is made anew between them.
        emulated.captures = True
        lent += [counters.lend(20, CPU) for _ in range(5)]
        emulated.captures = False
        assert counters.lend(10, CPU).data_ptr() == lent[0].data_ptr()
    assert [len(one) for one in lent[1:]] == [20] * 15
    assert not any(overlap(a, b) for i, a in enumerate(lent) for b in lent[:i])


def test_what_a_graph_has_stays_when_nobody_here_holds_it(emulated, monkeypatch):
    monkeypatch.setattr(counters, "FOR_GRAPHS", 64)
    counters.lend(1, CPU)
    emulated.captures = True
    given = counters.lend(60, CPU)
    weak, emulated.captures = given.untyped_storage()._weak_ref(), False
    del given
    counters.lend(1, CPU)
    assert not torch.UntypedStorage._expired(weak)
    torch.UntypedStorage._free_weak_ref(weak)


def test_of_the_stream_that_is_another_in_each_thread_each_has_its_own(emulated):
    emulated.stream = counters.PER_THREAD
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(counters.lend, 10, CPU).result()
    assert not overlap(counters.lend(10, CPU), other)
    assert counters.lend(10, CPU).data_ptr() == counters.lend(10, CPU).data_ptr()
