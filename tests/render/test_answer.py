"""The bar of the error budget: one budget for all who speak of it, and what no plan may use."""

from __future__ import annotations

import re

import pytest

from qprobe.policy import make_plan
from qprobe.render.charts.costs import share_of_budget
from qprobe.render.html import plan_html
from qprobe.render.html.answer import error_parts
from tests import documents_factory as factory
from tests.render import samples
from tests.render.pages import PAGES, Reader

MODEL = factory.model()


def bar_at(used: float, of_groups: float | None = None):
    """The bar of a plan whose error, and whose groups in all, take shares of the budget."""
    plan = samples.plan()
    limit = plan.objective.error_limit.value
    names = plan.targets["cpu-test"].groups
    each = limit * ((used if of_groups is None else of_groups) / len(names)) ** 0.5
    groups = {
        name: samples.decision().model_copy(update={"predicted": samples.group_predicted(1, each)})
        for name in names
    }
    section = samples.section(groups, predicted=samples.predicted(error=limit * used**0.5))
    bar = error_parts(section, plan.objective)
    assert bar is not None
    return bar


def told(bar) -> dict[str, str]:
    return {part.label: part.percent for part in bar.parts}


def test_reasons_rows_and_the_bar_divide_by_the_same_budget():
    profile = factory.measured_profile(MODEL, factory.by_ops())
    plan = make_plan(MODEL, profile, factory.objective(), factory.sensitivity(MODEL))
    section, limit = plan.targets["cpu-test"], plan.objective.error_limit.value
    shares = []
    for group in section.groups.values():
        (told,) = re.findall(r"takes ([\d.]+) % of the error budget", " ".join(group.reasons))
        assert float(told) == pytest.approx(100 * share_of_budget(group.predicted.error, limit))
        shares.append(float(told))
    assert shares == [4.0] * 8
    text = " ".join(Reader(plan_html(plan)).text.split())
    assert "W8A8 layers 32 % left free 32 % kept in reserve 36 %" in text


@pytest.mark.parametrize(
    ("used", "parts"),
    [
        (0.32, {"W8A8 layers": "32 %", "left free": "32 %", "kept in reserve": "36 %"}),
        (0.64, {"W8A8 layers": "64 %", "kept in reserve": "36 %"}),
        (0.8, {"W8A8 layers": "80 %", "kept in reserve": "20 %"}),
        (1.0, {"W8A8 layers": "100 %"}),
    ],
)
def test_the_reserve_is_a_part_of_its_own_where_it_is_left(used, parts):
    assert told(bar_at(used)) == parts


def test_an_error_that_yields_to_memory_is_told_as_shares_of_the_budget_and_the_limit_is_marked():
    gains = dict.fromkeys(MODEL.groups(), 0.5)
    profile = factory.measured_profile(MODEL, factory.by_ops(), rows=(1, 128))
    asked = factory.objective(memory_limit_bytes=1_000_000)
    plan = make_plan(MODEL, profile, asked, factory.sensitivity(MODEL, gains=gains))
    section = plan.targets["cpu-test"]
    bar = error_parts(section, plan.objective)
    assert bar is not None
    assert section.predicted.error.value > 2 * plan.objective.error_limit.value
    assert told(bar)["W4A16 layers"] == told(bar)["W4A16_G64 layers"] == "400 %"
    assert bar.limit == pytest.approx(125, abs=0.5)
    assert bar.parts[-1].start + bar.parts[-1].width == pytest.approx(1000, abs=0.2)
    text = " ".join(Reader(plan_html(plan)).text.split())
    assert "W4A16 layers 400 % W4A16_G64 layers 400 %" in text
    assert "limit 100 %" in text


def test_within_the_limit_nothing_is_marked():
    assert bar_at(1.0).limit is None
    assert "limit 100 %" not in Reader(PAGES["plan with measurements"]()).text


def test_what_is_left_is_less_what_the_groups_take_where_running_the_plan_showed_less():
    bar = bar_at(0.2, of_groups=0.5)
    assert told(bar) == {"W8A8 layers": "50 %", "left free": "14 %", "kept in reserve": "36 %"}
    assert bar.limit is None


def test_what_the_groups_do_not_explain_is_the_compute_types():
    assert told(bar_at(0.5, of_groups=0.3))["computing in float32"] == "20 %"
