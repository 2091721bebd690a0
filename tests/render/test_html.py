from __future__ import annotations

import importlib.util
from html.parser import HTMLParser

import pytest

from qprobe.errors import UnavailableError
from qprobe.render.html import diagnosis_html, plan_html, require_html
from tests.render import samples

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE_PLAN = samples.plan(
    name=samples.HOSTILE,
    groups={"pooler.weight": samples.decision(reasons=(samples.HOSTILE,))},
)
PAGES = {
    "diagnosis": lambda: diagnosis_html(samples.full_diagnosis()),
    "plan": lambda: plan_html(HOSTILE_PLAN),
}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and refuses tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("page", PAGES)
def test_is_well_formed(page):
    assert Reader(PAGES[page]()).open == []


@pytest.mark.parametrize("page", PAGES)
def test_runs_and_fetches_nothing(page):
    read = Reader(PAGES[page]())
    assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
    names = {name for name, _ in read.attributes}
    assert not {"href", "src", "srcset", "style"} & names
    assert not any(name.startswith("on") for name in names)
    styles = PAGES[page]().split("<style>")[1].split("</style>")[0]
    assert "url(" not in styles
    assert "@import" not in styles


@pytest.mark.parametrize("page", PAGES)
def test_hostile_text_is_shown_as_it_is(page):
    html = PAGES[page]()
    assert "<script>alert(1)</script>" in Reader(html).text
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "&amp;lt;" not in html


def test_the_plan_page_has_every_reason_and_loser():
    text = Reader(plan_html(samples.plan())).text
    for words in (
        "Quantize every group",
        "slower by half",
        "no such kernel",
        "the rest is modelled",
    ):
        assert words in text


def test_the_diagnosis_page_has_every_detail_and_fix():
    text = Reader(diagnosis_html(samples.full_diagnosis())).text
    for words in ("fine because of it", "pip install x", "not installed", "5 checks"):
        assert words in text


def test_has_both_color_schemes_and_a_narrow_layout():
    page = PAGES["plan"]()
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 640px" in page
    assert 'name="viewport"' in page


def test_without_jinja2_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="jinja2 is not installed") as caught:
        require_html()
    assert caught.value.hint == "pip install 'qprobe[report]'"
