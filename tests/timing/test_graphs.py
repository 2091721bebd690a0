"""How work is captured: warmed up on another stream, then recorded once, ended whatever happens."""

import gc
import weakref
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from qprobe.timing.graphs import capture


@pytest.fixture
def log(monkeypatch):
    """What the calls and the planted graph do, in order."""
    seen = []
    graph = SimpleNamespace(
        capture_begin=lambda *pool: seen.append(("begin", *pool)),
        capture_end=lambda: seen.append("end"),
        replay=lambda: seen.append("replay"),
    )
    stream = SimpleNamespace(wait_stream=lambda _other: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: seen.append("wait"))
    return seen


@pytest.mark.parametrize("pool", [None, (0, 1)])
def test_calls_are_warmed_up_before_they_are_captured(log, pool):
    replay = capture([lambda: log.append("a"), lambda: log.append("b")], pool)
    begin = ("begin",) if pool is None else ("begin", pool)
    assert log == [*"abab", "wait", begin, "a", "b", "end"]
    replay()
    assert log[-1] == "replay"


def test_a_call_that_fails_ends_the_capture(log):
    def fail():
        if ("begin",) in log:
            raise RuntimeError("not while a stream is captured")

    with pytest.raises(RuntimeError, match="not while"):
        capture([fail])
    assert log[-1] == "end"


@pytest.mark.usefixtures("log")
def test_what_a_graph_reads_is_kept_as_long_as_it():
    class Weight:
        def __call__(self):
            pass

    weight = Weight()
    gone = weakref.ref(weight)
    replay = capture([weight])
    del weight
    gc.collect()
    assert gone() is not None
    del replay
    gc.collect()
    assert gone() is None
