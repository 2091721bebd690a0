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
from tests.render.pages import Reader

MODEL = factory.model()


def parts_at(used: float) -> dict[str, str]:
    """The bar of a plan whose error takes a share of the budget, by what it says."""
    plan = samples.plan()
    error = plan.objective.error_limit.value * used**0.5
    groups = {
        name: samples.decision().model_copy(
            update={"predicted": samples.group_predicted(1, error / 7**0.5)}
        )
        for name in plan.targets["cpu-test"].groups
    }
    section = samples.section(groups, predicted=samples.predicted(error=error))
    return {part.label: part.percent for part in error_parts(section, plan.objective)}


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
        (0.9, {"W8A8 layers": "90 %", "kept in reserve": "10 %"}),
        (1.0, {"W8A8 layers": "100 %"}),
    ],
)
def test_the_reserve_is_a_part_of_its_own_where_it_is_left(used, parts):
    assert parts_at(used) == parts
