"""The pages in a real browser: they fit a phone, ask the network for nothing and have a dark side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.devtools import Browser, find_chromium
from tests.render.pages import PAGES

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"
)
PHONE, TABLET, DESK = 360, 800, 1400
PAPER = 720
"""A4 between its margins, in pixels."""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
WIDER_THAN_THE_PAGE = """
[...document.querySelectorAll('body *')].filter(item => {
  const box = item.getBoundingClientRect();
  return box.right > document.documentElement.clientWidth + 1 && !item.closest('.scroll');
}).map(item => item.outerHTML.slice(0, 120))
"""
OVERLAPPING_WORDS = """
[...document.querySelectorAll('.chart svg')].filter(svg => svg.getBoundingClientRect().width).flatMap(svg => {
  const words = [...svg.querySelectorAll('text')].map(item => [item.textContent, item.getBBox()]);
  return words.flatMap(([text, a], i) => words.slice(i + 1).filter(([, b]) =>
    a.x + 1 < b.x + b.width && b.x + 1 < a.x + a.width && a.y + 3 < b.y + b.height && b.y + 3 < a.y + a.height
  ).map(([other]) => `${text} | ${other}`));
})
"""
CUT_WORDS = """
[...document.querySelectorAll('.chart svg')].filter(svg => svg.getBoundingClientRect().width).flatMap(svg =>
  [...svg.querySelectorAll('text')].filter(item => {
    const box = item.getBBox(), view = svg.viewBox.baseVal;
    return box.x < 0 || box.y < 0 || box.x + box.width > view.width || box.y + box.height > view.height;
  }).map(item => item.textContent))
"""
SECTIONS = {
    "plan with measurements": {
        "Where the time goes",
        "What the error budget is spent on",
        "The trade-off: what each way costs, and the error that it brings",
        "Time and error of each group of layers",
        "Why: what was chosen, and what was rejected",
        "Roofline: what the device allows, and what the kernels reach",
        "How sure these figures are",
    },
    "diagnosis with a roofline": {
        "What to look at, and what to do",
        "Methods",
        "Roofline: what the device allows, and what the kernels reach",
        "Everything else",
        "Machine",
    },
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    started = Browser(CHROMIUM, tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("pages")
    found = {}
    for index, (name, page) in enumerate(PAGES.items()):
        path = folder / f"{index}.html"
        path.write_text(page(), encoding="utf-8")
        found[name] = path.as_uri()
    return found


def open_all(browser: Browser) -> None:
    browser.evaluate("document.querySelectorAll('details').forEach(item => { item.open = true })")


@pytest.mark.parametrize("page", PAGES)
def test_loads_without_a_complaint_and_asks_for_nothing(browser, urls, page):
    browser.open(urls[page], DESK)
    complaints = [
        event
        for event in browser.events
        if event["method"]
        in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    ]
    assert complaints == []
    asked = [
        event["params"]["request"]["url"]
        for event in browser.events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [urls[page]]


def test_a_request_would_be_seen_and_refused(browser, tmp_path):
    page = PAGES["plan"]().replace("<main>", '<main><img src="http://127.0.0.1:9/x.png" alt="x">')
    (tmp_path / "spoiled.html").write_text(page, encoding="utf-8")
    browser.open((tmp_path / "spoiled.html").as_uri(), DESK)
    complaints = [event for event in browser.events if event["method"] == "Log.entryAdded"]
    assert any("Content Security Policy" in item["params"]["entry"]["text"] for item in complaints)


@pytest.mark.parametrize("width", [PHONE, TABLET, DESK])
@pytest.mark.parametrize("page", PAGES)
def test_fits_the_width_with_everything_open(browser, urls, page, width):
    browser.open(urls[page], width)
    open_all(browser)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(WIDER_THAN_THE_PAGE) == []


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("page", PAGES)
def test_words_in_charts_neither_overlap_nor_are_cut_off(browser, urls, page, width):
    browser.open(urls[page], width)
    assert browser.evaluate(OVERLAPPING_WORDS) == []
    assert browser.evaluate(CUT_WORDS) == []


def test_words_that_overlap_or_are_cut_off_would_be_seen(browser, tmp_path):
    extra = '<text x="60" y="40">over</text><text x="62" y="41">lapping</text><text x="-5" y="9">cut</text>'
    page = PAGES["plan with measurements"]().replace("</desc>", f"</desc>{extra}")
    (tmp_path / "spoiled.html").write_text(page, encoding="utf-8")
    browser.open((tmp_path / "spoiled.html").as_uri(), DESK)
    assert "over | lapping" in browser.evaluate(OVERLAPPING_WORDS)
    assert "cut" in browser.evaluate(CUT_WORDS)


@pytest.mark.parametrize("page", PAGES)
def test_dark_mode_changes_the_background_and_the_text(browser, urls, page):
    browser.open(urls[page], DESK)
    light = browser.evaluate(BACKGROUND), browser.evaluate("getComputedStyle(document.body).color")
    browser.open(urls[page], DESK, dark=True)
    dark = browser.evaluate(BACKGROUND), browser.evaluate("getComputedStyle(document.body).color")
    assert light != dark
    assert sum(map(int, light[0].strip("rgb()").split(","))) > 600
    assert sum(map(int, dark[0].strip("rgb()").split(","))) < 150


@pytest.mark.parametrize("page", SECTIONS)
def test_every_section_is_there_and_seen(browser, urls, page):
    browser.open(urls[page], PHONE)
    seen = browser.evaluate(
        "[...document.querySelectorAll('h2, h3')].filter(item => item.getBoundingClientRect().height)"
        ".map(item => item.textContent)"
    )
    assert SECTIONS[page] <= set(seen)


@pytest.mark.parametrize("page", PAGES)
def test_on_paper_nothing_is_cut_off_and_the_ground_is_white(browser, urls, page):
    browser.open(urls[page], PAPER, dark=True, paper=True)
    assert browser.evaluate("document.documentElement.scrollWidth") <= PAPER
    cut = "[...document.querySelectorAll('.scroll')].filter(item => item.scrollWidth > item.clientWidth + 1).length"
    assert browser.evaluate(cut) == 0
    assert browser.evaluate(BACKGROUND) == "rgb(255, 255, 255)"


@pytest.mark.parametrize(("width", "shown"), [(PHONE, "narrow"), (DESK, "wide")])
def test_each_chart_is_shown_once(browser, urls, width, shown):
    browser.open(urls["plan with measurements"], width)
    classes = browser.evaluate(
        "[...document.querySelectorAll('.chart svg')].filter(item => item.getBoundingClientRect().width)"
        ".map(item => item.getAttribute('class'))"
    )
    assert classes == [shown] * 4


def test_a_command_is_selected_whole(browser, urls):
    browser.open(urls["diagnosis"], DESK)
    style = browser.evaluate("getComputedStyle(document.querySelector('pre.command')).userSelect")
    assert style == "all"


def test_no_script_of_a_document_has_run(browser, urls):
    for page in ("plan", "diagnosis"):
        browser.open(urls[page], DESK)
        assert browser.evaluate("document.scripts.length") == 0
        assert "<script>alert(1)</script>" in browser.evaluate("document.body.innerText")
