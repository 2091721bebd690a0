"""The palette: text and marks stand out from what is behind them, in light and in dark (WCAG AA)."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from qprobe.render.charts.families import FAMILIES

STYLES = (resources.files("qprobe.render") / "templates" / "page.css").read_text(encoding="utf-8")
TEXT, GRAPHICS = 4.5, 3.0


def palettes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLES, re.DOTALL)
    read = re.compile(r"--([\w-]+): (#[0-9a-f]{6});")
    return {"light": dict(read.findall(light)), "dark": dict(read.findall(dark))}


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_definition():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "behind"),
    [
        *(
            (text, behind)
            for text in ("text", "quiet", "accent", "limit")
            for behind in ("page", "card")
        ),
        *((text, "inset") for text in ("text", "quiet")),
        *((name, f"{name}-tint") for name in ("good", "fair", "bad")),
        ("good", "card"),
        ("text", "fair-tint"),
        ("text", "quiet-tint"),
        ("quiet", "quiet-tint"),
    ],
)
def test_text_can_be_read(scheme, text, behind):
    palette = palettes()[scheme]
    assert contrast(palette[text], palette[behind]) >= TEXT


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("mark", [*(family.look for family in FAMILIES), "plan", "rest", "axis"])
def test_marks_stand_out(scheme, mark):
    palette = palettes()[scheme]
    assert contrast(palette[mark], palette["card"]) >= GRAPHICS


def test_dark_names_every_color_of_light():
    assert palettes()["light"].keys() == palettes()["dark"].keys()


def test_families_are_told_apart_without_color():
    assert len({family.shape for family in FAMILIES}) == len(FAMILIES)
