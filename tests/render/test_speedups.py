"""The chart of methods: faster, slower, and what cannot be told."""

from __future__ import annotations

import re

import pytest

from qprobe.render.charts.drawing import SHAPES, Path, Symbol
from qprobe.render.charts.speedups import MOST_ROWS, side_of, speedup_chart
from qprobe.render.html import diagnosis_html
from tests.render import samples
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


def test_the_legend_has_the_shapes_of_the_chart_where_a_method_is_not_drawn():
    kept = verdict("fast", speeds=(speed(8, 1.5), speed(128, 2.0)))
    left_out = verdict("broken", speeds=(speed(1, 1e200),))
    verdicts = (kept, left_out)
    chart = speedup_chart(verdicts)
    assert chart is not None
    page = diagnosis_html(samples.diagnosis(verdicts=verdicts))
    legend = re.findall(r'd="([^"]+)"/></svg>\s*<span>(M = \d+)</span>', page)
    shapes = {Symbol(0, 0, shape, "").commands: shape for shape in SHAPES}
    assert [(shapes[outline], name) for outline, name in legend] == [
        ("circle", "M = 8"),
        ("square", "M = 128"),
    ]
    drawn = [item.shape for item in chart.wide.items if isinstance(item, Symbol)]
    assert drawn == ["circle", "square"]
