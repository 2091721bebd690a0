"""The chart of methods: faster, slower, and what cannot be told."""

from __future__ import annotations

import pytest

from qprobe.render.charts.drawing import Path, Symbol
from qprobe.render.charts.speedups import MOST_ROWS, side_of, speedup_chart
from tests.render.drawn import drawings, words_in
from tests.render.pages import speed, timed_diagnosis, verdict


@pytest.mark.parametrize(
    ("ratio", "doubt", "side"),
    [(2.0, 0.1, "faster"), (0.5, 0.1, "slower"), (1.05, 0.1, "undecided"), (1.0, 0.0, "undecided")],
)
def test_a_method_is_faster_only_beyond_doubt(ratio, doubt, side):
    assert side_of(speed(1, ratio, doubt)) == side


def test_a_disturbed_speed_decides_nothing():
    assert side_of(speed(1, 2.0).model_copy(update={"disturbance": 0.5})) == "undecided"


def test_each_speed_is_a_mark_on_its_side_of_the_line():
    verdicts = timed_diagnosis().verdicts
    for drawing in drawings(speedup_chart(verdicts)):
        one = next(
            i.points[0][0] for i in drawing.items if isinstance(i, Path) and i.look == "roof"
        )
        marks = [item for item in drawing.items if isinstance(item, Symbol)]
        assert len(marks) == sum(len(item.speeds) for item in verdicts)
        for mark in marks:
            assert mark.look.startswith("faster") <= (mark.x > one)
            assert mark.look.startswith("slower") <= (mark.x < one)
            assert mark.look.startswith("undecided") == mark.look.endswith("hollow")
        assert {"a fast method", "a slow method"} <= set(words_in(drawing))


def test_methods_that_were_not_timed_need_no_chart():
    assert speedup_chart([]) is None
    assert speedup_chart([verdict("unsupported")]) is None


def test_very_many_methods_are_cut_short():
    many = [verdict("fast", method=f"m{i}", speeds=(speed(1, 1 + i / 9),)) for i in range(99)]
    chart = speedup_chart(many)
    assert chart is not None
    names = [text for text in words_in(chart.wide) if text.startswith("m")]
    assert names == [f"m{i}" for i in range(98, 98 - MOST_ROWS, -1)]
