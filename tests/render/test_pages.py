"""What every page of text has in common."""

from __future__ import annotations

import pytest

from qprobe.render.diagnosis import diagnosis_text
from qprobe.render.explain import explanation_text
from qprobe.render.machine import machine_text
from qprobe.render.plan import plan_text
from qprobe.render.profile import profile_text
from qprobe.render.receipt import receipt_text
from tests import documents_factory as factory
from tests.render import samples

MODEL = factory.model()
PROFILE = factory.measured_profile(MODEL, factory.by_ops())
HOSTILE_PLAN = samples.plan(
    name=samples.HOSTILE,
    groups={"pooler.weight": samples.decision(reasons=(samples.HOSTILE * 9,))},
)
PAGES = {
    "diagnosis": lambda **how: diagnosis_text(samples.full_diagnosis(), **how),
    "diagnosis in full": lambda **how: diagnosis_text(samples.full_diagnosis(), full=True, **how),
    "machine": lambda **how: machine_text(samples.machine(), **how),
    "machine with GPU": lambda **how: machine_text(samples.machine(gpus=(samples.gpu(),)), **how),
    "profile": lambda **how: profile_text(PROFILE, **how),
    "plan": lambda **how: plan_text(HOSTILE_PLAN, **how),
    "plan in full": lambda **how: plan_text(HOSTILE_PLAN, full=True, **how),
    "explanation": lambda **how: explanation_text(HOSTILE_PLAN, "pooler.weight", **how),
    "receipt": lambda **how: receipt_text(samples.receipt(model=samples.HOSTILE), **how),
}


@pytest.mark.parametrize("width", [80, 60, 120])
@pytest.mark.parametrize("name", PAGES)
def test_fits_the_width(name, width):
    page = PAGES[name](width=width)
    assert max(map(len, page.splitlines())) <= width
    assert page.endswith("\n")
    assert not page.endswith("\n\n")


@pytest.mark.parametrize("name", PAGES)
def test_holds_no_escape_and_no_trailing_space(name):
    page = PAGES[name]()
    assert page.replace("\n", "").isprintable()
    assert all(line == line.rstrip() for line in page.splitlines())


@pytest.mark.parametrize("name", PAGES)
def test_color_carries_nothing_that_the_plain_page_lacks(name):
    import re

    colored = re.sub(r"\x1b\[[0-9;]*m", "", PAGES[name](color=True))
    assert [line.rstrip() for line in colored.splitlines()] == PAGES[name]().splitlines()


@pytest.mark.parametrize("name", PAGES)
def test_is_the_same_twice(name):
    assert PAGES[name]() == PAGES[name]()
