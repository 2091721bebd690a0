from __future__ import annotations

import pytest

import qprobe.bench
import qprobe.checkpoint
import qprobe.probe
from qprobe.errors import InputError
from qprobe.flow.bench import DEFAULT_SHAPES, bench
from tests import documents_factory as factory
from tests.render import samples


@pytest.fixture
def shapes(monkeypatch):
    """The shapes that were measured."""
    seen: list[tuple[int, int]] = []

    def run_bench(_machine, _device, shapes, _m, **_):
        seen.extend(shapes)
        return factory.profile()

    monkeypatch.setattr(qprobe.bench, "run_bench", run_bench)
    monkeypatch.setattr(qprobe.probe, "probe_machine", samples.machine)
    return seen


def test_measures_each_shape_of_a_model_once(shapes, monkeypatch, tmp_path):
    monkeypatch.setattr(qprobe.checkpoint, "read_model", lambda _path: factory.model())
    bench("cpu", str(tmp_path))
    assert shapes == [(64, 64), (256, 64), (64, 256)]


def test_measures_the_shapes_that_are_given(shapes):
    bench("cpu", shapes=[(5, 3)])
    assert shapes == [(5, 3)]


def test_measures_a_common_encoder_where_nothing_is_said(shapes):
    bench("cpu")
    assert tuple(shapes) == DEFAULT_SHAPES


def test_a_model_and_shapes_contradict_each_other():
    with pytest.raises(InputError, match="both --model and --shape"):
        bench("cpu", "model", [(1, 1)])


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match="device"):
        bench("tpu")
