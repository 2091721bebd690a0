"""What is in a chart."""

from __future__ import annotations

from qprobe.render.charts.drawing import Chart, Words


def drawings(chart: Chart | None):
    assert chart is not None
    return chart.narrow, chart.wide


def words_in(drawing) -> list[str]:
    return [item.text for item in drawing.items if isinstance(item, Words)]
