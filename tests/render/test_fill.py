"""How templates write what documents hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from qprobe.render.html import plan_html
from qprobe.render.html.fill import in_utc
from tests.render import samples
from tests.render.pages import Reader, planned

TOKYO = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 1, 23, 30, tzinfo=UTC), "2026-01-01 at 23:30"),
        (datetime(2026, 1, 1, 8, 30, tzinfo=TOKYO), "2025-12-31 at 23:30"),
        (datetime(1, 1, 1, 8, 30, tzinfo=TOKYO), "0001-01-01 at 08:30"),
    ],
)
def test_a_moment_is_told_in_utc(moment, text):
    told = in_utc(moment, "%Y-%m-%d at %H:%M")
    assert told.zfill(len(text)) == text  # some C libraries write the year 1 as 1
    page = plan_html(samples.plan(created_utc=moment))
    assert f"on {told} UTC" in Reader(page).text


def test_the_day_of_a_measurement_is_that_of_utc():
    plan, profile = planned()
    moved = profile.model_copy(update={"created_utc": datetime(2026, 1, 1, 8, tzinfo=TOKYO)})
    assert "Measured on 2025-12-31" in Reader(plan_html(plan, {"cpu-test": moved})).text
