"""Charts as geometry: scales, ticks, labels that keep apart, and what is drawn of documents."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qprobe.documents.roofline import linear_work
from qprobe.documents.scheme import SCHEMES
from qprobe.render.charts.attained import MAX_POINTS, points_of_plan, points_of_profile
from qprobe.render.charts.costs import columns_of, group_costs, percent
from qprobe.render.charts.depth import depth_chart
from qprobe.render.charts.drawing import SHAPES, Box, Path, Symbol, Words, text_width
from qprobe.render.charts.families import AS_STORED, FAMILIES, family_of
from qprobe.render.charts.labels import Area, Label, area_of, around, place_labels, spread
from qprobe.render.charts.roofline import roofline_chart
from qprobe.render.charts.scale import even_scale, log_scale, near_scale, tick_text
from qprobe.render.charts.tradeoff import PLAN, memory_chart, time_chart
from qprobe.render.units import format_bytes, format_seconds
from tests import documents_factory as factory
from tests.render import samples
from tests.render.drawn import drawings, words_in
from tests.render.pages import planned

POSITIVE = st.floats(min_value=1e-12, max_value=1e15)
PLANE = Area(0, 0, 300, 200)


@given(
    st.lists(POSITIVE, min_size=1, max_size=8), st.sampled_from([even_scale, log_scale, near_scale])
)
def test_every_value_has_a_place_inside_and_ticks_are_few_and_in_order(values, build):
    scale = build(values, 10, 110)
    places = [scale.place(value) for value in sorted(values)]
    assert all(10 <= place <= 110 for place in places)
    assert places == sorted(places)
    ticks = scale.ticks(5)
    assert list(ticks) == sorted(set(ticks))
    assert len(ticks) <= 11
    assert all(10 <= scale.place(tick) <= 110 for tick in ticks)


def test_an_even_scale_begins_at_nothing():
    assert even_scale([3.0, 7.0], 0, 100).place(0) == 0
    assert even_scale([], 0, 100).place(0) == 0


def test_ticks_of_bytes_are_whole_in_their_unit():
    scale = near_scale([100 * 2**20, 240 * 2**20], 0, 100, unit=2**20)
    assert {tick_text(tick, format_bytes) for tick in scale.ticks(4)} >= {"100 MiB", "200 MiB"}


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.5e-3, "500 µs"), (0.02, "20 ms"), (1.5, "1.5 s")]
)
def test_a_tick_has_no_needless_zeros(value, text):
    assert tick_text(value, format_seconds) == text


@given(
    st.lists(
        st.tuples(
            st.integers(0, 300), st.integers(0, 200), st.text("Wil_4", min_size=1, max_size=9)
        ),
        max_size=14,
    )
)
def test_labels_cover_neither_one_another_nor_marks_nor_leave_the_plane(spots):
    labels = [Label((x, y), text) for x, y, text in spots]
    marks = [around(label.at, 5) for label in labels]
    items, left_out = place_labels(labels, marks, PLANE)
    areas = [area_of(item) for item in items if isinstance(item, Words)]
    assert len(areas) + len(left_out) == len(labels)
    assert all(PLANE.holds(area) for area in areas)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(areas, 2))
    assert not any(area.overlaps(mark) for area in areas for mark in marks)


def test_a_label_that_is_far_from_its_point_has_a_line_to_it():
    crowd = [Label((150, 100), name) for name in ("first", "second", "third", "fourth", "fifth")]
    items, left_out = place_labels(crowd, [around((150, 100), 12)], PLANE)
    assert left_out == []
    assert any(isinstance(item, Path) for item in items)


@given(st.lists(st.floats(0, 100), max_size=8))
def test_places_are_spread_in_their_order(places):
    moved = spread(places, 10, 0, 100)
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in moved)
    in_order = sorted(range(len(places)), key=lambda index: places[index])
    gaps = [moved[later] - moved[sooner] for sooner, later in itertools.pairwise(in_order)]
    assert all(gap >= 10 - 1e-6 for gap in gaps)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_has_a_family_with_a_shape(scheme):
    family = family_of(scheme)
    assert family in FAMILIES
    assert family.shape in SHAPES
    assert (family == AS_STORED) == (SCHEMES[scheme].weights is None)


def test_unknown_names_are_drawn_as_stored():
    assert family_of("FP32") == family_of("<script>") == AS_STORED


def test_points_reach_what_was_measured():
    plan, profile = planned()
    section = plan.targets["cpu-test"]
    points = points_of_plan(plan, section, profile)
    facts = profile.kernel_facts()
    for point in points:
        cell, seconds = point.measurement.cell, point.measurement.median_s
        shape = cell.shape
        assert point.ops_per_s == pytest.approx(2 * shape.m * shape.n * shape.k / seconds)
        work = linear_work(SCHEMES[cell.scheme], facts[cell.kernel], cell.activation_dtype, shape)
        assert point.intensity == pytest.approx(work.ops / work.moved_bytes)
        assert shape.m in (1, 128)
        assert cell.activation_dtype == section.compute_dtype


def test_what_the_plan_runs_is_marked_and_nothing_else():
    plan, profile = planned()
    section = plan.targets["cpu-test"]
    decided = {
        (item.n, item.k, section.groups[item.group].scheme.name, kernel.kernel)
        for item in plan.assignments
        for kernel in section.groups[item.group].kernels
    }
    points = points_of_plan(plan, section, profile)
    assert any(point.is_chosen for point in points)
    for point in points:
        cell = point.measurement.cell
        key = (cell.shape.n, cell.shape.k, cell.scheme, cell.kernel)
        assert point.is_chosen == (key in decided)


def test_the_share_of_the_roof_is_unknown_without_a_roof():
    _, profile = planned()
    bare = profile.model_copy(update={"peaks": {}})
    assert {point.share_of_roof(bare) for point in points_of_profile(bare)} == {None}
    for point in points_of_profile(profile):
        share = point.share_of_roof(profile)
        assert (share is None) == (point.work.unit not in profile.peaks)
        assert share is None or share > 0


def test_a_profile_of_many_shapes_is_thinned_by_whole_shapes():
    cells = [
        factory.measurement(scheme, "reference", m, 64 * n, 64, 1e-3)
        for n in range(1, 60)
        for m in (1, 8)
        for scheme in ("NONE", "W8A16", "W4A16")
    ]
    points = points_of_profile(factory.profile(cells))
    assert 60 < len(points) <= MAX_POINTS
    shapes = [point.measurement.cell.shape for point in points]
    assert {shapes.count(shape) for shape in set(shapes)} == {3}


def test_what_the_profile_does_not_know_is_no_point():
    cells = [
        factory.measurement("W8A16", kernel, 8, 64, 64, seconds)
        for kernel, seconds in (("reference", 1e-3), ("cpu.new", 1e-4))
    ]
    (point,) = points_of_profile(factory.profile(cells))
    assert point.measurement.cell.kernel == "reference"


def test_the_roofline_has_its_roofs_even_where_nothing_was_measured():
    for drawing in drawings(roofline_chart(factory.profile(), [])):
        roofs = [item for item in drawing.items if isinstance(item, Path) and "roof" in item.look]
        assert len(roofs) == 4
        assert sum("dashed" in item.look for item in roofs) == 1
        assert {"fp32", "bf16", "int8"} <= set(words_in(drawing))


def test_the_ridge_lies_where_memory_and_arithmetic_meet():
    drawing = drawings(
        roofline_chart(
            factory.profile(peaks={"float32": factory.Peak(ops_per_s=1e11, support="native")}), []
        )
    )[1]
    level, slope = (i for i in drawing.items if isinstance(i, Path) and i.look == "roof")
    assert level.points[0] == pytest.approx(slope.points[-1])


def test_there_is_no_roofline_of_what_is_not_known():
    assert roofline_chart(factory.profile(copy_bandwidth_bytes_per_s=None), []) is None
    assert roofline_chart(factory.profile(peaks={}), []) is None


def test_kernels_are_drawn_without_a_roof_too():
    _, profile = planned()
    bare = profile.model_copy(update={"peaks": {}, "copy_bandwidth_bytes_per_s": None})
    points = points_of_profile(bare)
    for drawing in drawings(roofline_chart(bare, points)):
        assert sum(isinstance(item, Symbol) for item in drawing.items) == len(points)


@pytest.mark.parametrize("make", [time_chart, memory_chart])
def test_the_trade_off_shows_every_way_that_is_scored(make):
    plan, _ = planned()
    section = plan.targets["cpu-test"]
    scored = [item.name for item in section.alternatives if item.predicted]
    for drawing in drawings(make(section, plan.objective)):
        symbols = [item for item in drawing.items if isinstance(item, Symbol)]
        assert len(symbols) == len(scored) + 1
        assert PLAN in words_in(drawing)
        assert all(name in drawing.description for name in scored)
        hollow = {item.tip.partition(":")[0] for item in symbols if "hollow" in item.look}
        assert hollow == {a.name for a in section.alternatives if a.predicted and not a.feasible}


def test_what_has_no_error_stands_apart_from_the_logarithmic_axis():
    plan, _ = planned()
    drawing = drawings(time_chart(plan.targets["cpu-test"], plan.objective))[0]
    assert "0" in words_in(drawing)
    stored = next(i for i in drawing.items if isinstance(i, Symbol) and i.tip.startswith("NONE"))
    others = [i for i in drawing.items if isinstance(i, Symbol) and "error 0" not in i.tip]
    assert all(stored.x < other.x for other in others)


def test_a_memory_limit_is_a_line():
    plan, _ = planned()
    section = plan.targets["cpu-test"]
    middle = int(section.predicted.memory_bytes.value * 1.02)
    limited = plan.objective.model_copy(update={"memory_limit_bytes": middle})
    for drawing in drawings(memory_chart(section, limited)):
        assert "limit" in words_in(drawing)


def test_there_is_no_trade_off_where_errors_are_unknown():
    section = samples.section({}, predicted=samples.predicted(error=None))
    assert time_chart(section, samples.Objective()) is None


def test_each_group_has_a_bar_as_high_as_its_time():
    plan, _ = planned()
    costs = group_costs(plan, plan.targets["cpu-test"])
    assert math.fsum(cost.seconds for cost in costs) == pytest.approx(
        plan.targets["cpu-test"].predicted.linear_seconds.value
    )
    drawing = drawings(depth_chart(costs))[1]
    frames = [item for item in drawing.items if isinstance(item, Box) and item.look == "before"]
    assert len(frames) == len(costs)
    taller = max(range(len(costs)), key=lambda index: costs[index].stored_seconds or 0)
    assert frames[taller].height == max(frame.height for frame in frames)


def test_many_groups_share_columns_and_nothing_is_lost():
    plan, _ = planned(layers=100)
    costs = group_costs(plan, plan.targets["cpu-test"])
    columns = columns_of(costs, 50)
    assert len(columns) <= 50
    total = sum(sum(column.seconds.values()) for column in columns)
    assert total == pytest.approx(sum(cost.seconds for cost in costs))
    assert " to " in columns[0].tip
    for drawing in drawings(depth_chart(costs)):
        assert "in a bar" in drawing.description
        assert len(drawing.items) < 2000


def test_a_plan_of_an_earlier_version_has_no_bars():
    plan = samples.plan()
    assert group_costs(plan, plan.targets["cpu-test"]) == []
    assert depth_chart([]) is None


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1e-5, "<0.1 %"), (0.034, "3.4 %"), (0.62, "62 %"), (1e9, ">10000 %")],
)
def test_shares_in_words(share, text):
    assert percent(share) == text


def test_wide_letters_are_wider_than_narrow_ones():
    assert text_width("WMW") > text_width("AAA") > text_width("ill")
