from __future__ import annotations

import importlib.util
import re
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from qprobe.documents.finding import Diagnosis, Fix
from qprobe.documents.plan import Alternative, Assignment, Plan
from qprobe.documents.profile import Profile
from qprobe.errors import UnavailableError
from qprobe.render.diagnosis import MARKS
from qprobe.render.html import diagnosis_html, plan_html, require_html
from qprobe.render.html.diagnosis_page import STATUS_WORDS
from qprobe.render.html.fill import steps_in
from tests.documents.strategies import documents
from tests.render import samples
from tests.render.pages import (
    PAGES,
    VERDICTS,
    Reader,
    every_diagnosis,
    planned,
    rich_plan_html,
    speed,
    timed_diagnosis,
    verdict,
)

MOST_BYTES = 2 * 10**6
BRIEF = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink a plan takes minutes
)


@pytest.mark.parametrize("page", PAGES)
def test_is_well_formed(page):
    assert Reader(PAGES[page]()).open == []


@pytest.mark.parametrize("page", PAGES)
def test_runs_and_fetches_nothing(page):
    read = Reader(PAGES[page]())
    assert not {"script", "img", "iframe", "object", "embed", "base", "form"} & set(read.tags)
    names = {name for _, name, _ in read.attributes}
    assert not {"src", "srcset", "style", "xlink:href", "action", "ping"} & names
    assert not any(name.startswith("on") for name in names)
    assert [value for tag, name, value in read.attributes if (tag, name) == ("link", "href")] == [
        "data:,"
    ]
    styles = PAGES[page]().split("<style>")[1].split("</style>")[0]
    assert "url(" not in styles
    assert "@import" not in styles
    assert "default-src 'none'" in PAGES[page]()


@pytest.mark.parametrize("page", PAGES)
def test_links_go_inside_the_page_or_to_plain_addresses(page):
    read = Reader(PAGES[page]())
    ids = read.values("id")
    assert len(set(ids)) == len(ids)
    for tag, name, value in read.attributes:
        if tag == "a" and name == "href":
            assert value.startswith("https://") or value.removeprefix("#") in ids
    for value in read.values("aria-labelledby"):
        assert set(value.split()) <= set(ids)


@pytest.mark.parametrize("page", PAGES)
def test_is_the_same_twice(page):
    # A document is made anew each time: only its time may differ.
    first, second = (re.sub(r"\d\d:\d\d UTC", "", PAGES[page]()) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("page", ["diagnosis", "plan"])
def test_hostile_text_is_shown_as_it_is(page):
    html = PAGES[page]()
    assert "<script>alert(1)</script>" in Reader(html).text
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "&amp;lt;" not in html


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", 'https://x.org/"onclick="x', "data:text/html,x", "http://x.org"]
)
def test_a_link_that_could_run_something_is_only_text(link):
    read = Reader(
        diagnosis_html(samples.diagnosis(samples.finding("fail", fix=Fix(text="x", link=link))))
    )
    assert link in read.text
    assert "a" not in read.tags


@pytest.mark.parametrize("page", PAGES)
def test_can_be_read_without_seeing_it(page):
    read = Reader(PAGES[page]())
    assert read.tags.count("h1") == 1
    assert read.tags.count("table") == read.tags.count("caption")
    drawn = [value for tag, name, value in read.attributes if (tag, name) == ("svg", "role")]
    assert read.tags.count("svg") == len(drawn) + sum(
        (tag, name, value) == ("svg", "aria-hidden", "true") for tag, name, value in read.attributes
    )
    levels = [int(tag[1]) for tag in read.tags if re.fullmatch(r"h\d", tag)]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


@BRIEF
@given(documents(Diagnosis))
def test_any_diagnosis_has_a_page(diagnosis):
    assert Reader(diagnosis_html(diagnosis)).open == []


@BRIEF
@given(documents(Plan), documents(Profile))
def test_any_plan_has_a_page(plan, profile):
    assert Reader(plan_html(plan, dict.fromkeys(plan.targets, profile))).open == []


def test_the_plan_page_has_every_reason_and_loser():
    text = Reader(plan_html(samples.plan())).text
    for words in (
        "Quantize every group",
        "slower by half",
        "no such kernel",
        "the rest is modelled",
    ):
        assert words in text


def test_the_plan_page_shows_time_and_error_of_each_layer_and_the_roofline():
    plan, profile = planned()
    html = plan_html(plan, {profile.fingerprint.slug: profile})
    text = Reader(html).text
    for words in ("error budget", "as fast", "Roofline", "of the roof", "copy bandwidth 20.0 GB/s"):
        assert words in text
    assert text.count("in the plan") >= 2
    for group in {item.group for item in plan.assignments}:
        assert group in text


def test_a_plan_without_its_profile_has_no_roofline():
    text = Reader(plan_html(planned()[0])).text
    assert "Roofline" not in text


def test_provenance_is_told_and_what_is_modelled_is_an_interval():
    text = Reader(rich_plan_html()).text
    assert "measured, ±" in text
    memory = planned()[0].targets["cpu-test"].predicted.memory_bytes
    assert memory.provenance == "modelled"
    assert re.search(r"\d–\d+ KiB|\d–[\d.]+\u00a0KiB", text)


def test_the_diagnosis_page_has_every_detail_and_fix():
    text = Reader(diagnosis_html(samples.full_diagnosis())).text
    for words in ("fine because of it", "pip install x", "not installed", "5 checks"):
        assert words in text


@pytest.mark.parametrize("status", MARKS)
def test_every_status_has_a_sign_and_a_word(status):
    text = Reader(diagnosis_html(samples.diagnosis(samples.finding(status)))).text
    assert re.search(rf"{re.escape(MARKS[status])}\s+{STATUS_WORDS[status]}", text)
    assert f"is {status}" in text


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cuda:0")], ids=["one device", "two"])
@pytest.mark.parametrize("name", VERDICTS)
def test_every_verdict_has_its_word_reason_evidence_and_fix(name, devices):
    text = Reader(diagnosis_html(every_diagnosis(devices))).text
    for words in (name.replace("_", " "), f"it is {name}", f"how {name} was seen", f"pip {name}"):
        assert words in text
    assert all(device in text for device in devices)


def test_speeds_are_told_with_what_disturbed_them():
    text = Reader(diagnosis_html(timed_diagnosis())).text
    for words in (
        "M = 256",
        "3.0×",
        "~1.0×",
        "0.004×",
        "Disturbed",
        "another program",
        "Interrupted",
    ):
        assert words in text
    assert "Disturbed" not in Reader(diagnosis_html(every_diagnosis())).text


def test_a_machine_that_nobody_asked_is_said_to_be_from_tables():
    known = samples.diagnosis()
    tables = known.machine.model_copy(update={"origin": "tables"})
    assert "Written from tables" not in Reader(diagnosis_html(known)).text
    told = Reader(diagnosis_html(known.model_copy(update={"machine": tables}))).text
    assert "Written from tables" in told


def test_a_reason_that_the_figures_tell_is_folded_away_and_any_other_is_shown():
    why = "2.0 times as fast at M = 1; 1.1 times slower at M = 8 (unquantized: 1); it needs space"
    spoken = verdict("works", why=why, speeds=(speed(1, 2.0), speed(8, 0.9)))
    page = diagnosis_html(samples.diagnosis().model_copy(update={"verdicts": (spoken,)}))
    assert "<summary>it needs space</summary>" in page
    assert why in Reader(page).text
    silent = spoken.model_copy(update={"why": "2.0 times as fast at M = 1"})
    page = diagnosis_html(samples.diagnosis().model_copy(update={"verdicts": (silent,)}))
    assert "<summary>evidence</summary>" in page


@pytest.mark.parametrize(
    ("text", "lead", "steps"),
    [
        ("In this order: (1) one. (2) two.", "In this order:", ("one.", "two.")),
        ("(1) a (2) b (3) c", "", ("a", "b", "c")),
        ("f(1) is (2) no list", "f(1) is (2) no list", ()),
        ("only (1) one", "only (1) one", ()),
        ("", "", ()),
    ],
)
def test_numbered_steps_become_a_list(text, lead, steps):
    assert steps_in(text) == (lead, steps)
    page = diagnosis_html(samples.diagnosis(samples.finding("fail", fix=Fix(text=text))))
    assert Reader(page).tags.count("ol") == bool(steps)


def test_findings_are_ordered_by_severity():
    order = ("crash", "fail", "warn", "ok", "skip")
    found = [samples.finding(status) for status in sorted(order)]
    text = Reader(diagnosis_html(samples.diagnosis(*found))).text
    places = [text.index(f"is {status}") for status in order]
    assert places == sorted(places)


@pytest.mark.parametrize("layers", [0, 1], ids=["one group", "one layer"])
def test_a_small_plan_has_a_page(layers):
    plan = samples.plan(layers=layers)
    assert "pooler" in Reader(plan_html(plan)).text


def test_a_plan_without_alternatives_and_predictions_has_a_page():
    made = samples.plan()
    bare = made.targets["cpu-test"].model_copy(update={"alternatives": ()})
    text = Reader(plan_html(made.model_copy(update={"targets": {"cpu-test": bare}}))).text
    assert "this plan" in text


def test_ten_thousand_layers_are_folded():
    plan, profile = planned(layers=2)
    section = plan.targets["cpu-test"]
    decisions = list(section.groups.values())
    groups = {f"layers.{i // 4}.part{i % 4}": decisions[i % 3] for i in range(10_000)}
    assignments = tuple(Assignment(tensor=f"{name}.w", group=name, n=64, k=64) for name in groups)
    large = plan.model_copy(
        update={
            "assignments": assignments,
            "targets": {"cpu-test": section.model_copy(update={"groups": groups})},
        }
    )
    page = plan_html(large, {"cpu-test": profile})
    assert len(page.encode()) < MOST_BYTES
    assert "more groups" in Reader(page).text


def test_ten_thousand_kinds_of_layers_are_cut_short_and_said_to_be():
    groups = {f"part{'x' * (i % 7)}q{i}": samples.decision() for i in range(10_000)}
    assignments = tuple(Assignment(tensor=f"{name}.w", group=name, n=64, k=64) for name in groups)
    plan = samples.plan(assignments=assignments, targets={"cpu-test": samples.section(groups)})
    page = plan_html(plan)
    assert len(page.encode()) < MOST_BYTES
    assert "more kinds" in Reader(page).text


def test_an_alternative_of_an_unknown_name_has_a_place():
    odd = Alternative(name="<b>odd", feasible=True, why="x", predicted=samples.predicted(1e-2))
    made = samples.plan()
    section = made.targets["cpu-test"].model_copy(update={"alternatives": (odd,)})
    text = Reader(plan_html(made.model_copy(update={"targets": {"cpu-test": section}}))).text
    assert "<b>odd" in text


def test_has_both_color_schemes_a_narrow_layout_and_one_for_paper():
    page = PAGES["plan"]()
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 700px" in page
    assert "@media print" in page
    assert 'name="viewport"' in page


def test_without_jinja2_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="jinja2 is not installed") as caught:
        require_html()
    assert caught.value.hint == "pip install 'qprobe[report]'"
