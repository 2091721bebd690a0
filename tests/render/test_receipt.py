from __future__ import annotations

import re

import pytest

from qprobe.render.receipt import receipt_text
from tests.render.samples import quantity, receipt, variant


def test_each_variant_beside_the_plan():
    page = receipt_text(receipt())
    assert "600 (588–612)" in page
    assert "1.40 (1.36–1.44)" in page
    assert page.index("plan ") < page.index("fp32")


def test_error_beside_limit_and_noise_floor():
    page = " ".join(receipt_text(receipt()).split())
    assert "0.0123 of the last hidden state, limit 0.0500, noise floor (bf16) 0.00300" in page


def test_predicted_against_measured():
    first, *others = receipt().variants
    variants = (first.model_copy(update={"predicted_s": 0.5}), *others)
    page = receipt_text(
        receipt(predicted_seconds=quantity(0.4), slowdown=1.25, variants=variants), width=120
    )
    assert "predicted 400 ms" in page
    assert "the machine takes 1.25 times as long as when planned" in page
    assert "predicted 500 ms at this speed, measured 430 ms (-14 %)" in page


def test_the_outcome_is_said_last():
    assert receipt_text(receipt()).splitlines()[-1] == "passed: within the limit"
    failed = receipt(passed=False, why="0.2 is above 0.05")
    assert receipt_text(failed).splitlines()[-1] == "missed: 0.2 is above 0.05"


def test_a_receipt_of_an_application_needs_no_measurements():
    bare = receipt(
        action="applied", variants=(), error=None, error_limit=None, noise_floor=None, batch=None,
        prompt=None, generate=None, predicted_seconds=None, passed=None, why="", layers=(),
    )  # fmt: skip
    assert receipt_text(bare).splitlines()[-1] == "applied"


def test_changes_for_the_device_are_listed():
    assert "no amx here" in receipt_text(receipt(changes=("no amx here",)))


@pytest.mark.parametrize("width", range(40, 121, 8))
def test_figures_and_names_are_whole_at_any_width(width):
    names = ("plan", "NONE", "FP8_DYNAMIC", "W4A16_ASYM")
    slow = receipt(variants=tuple(variant(name, 123.45, 12.0) for name in names))
    page = receipt_text(slow, width=width)
    assert page.count("123450 (120981–125919)") == len(names)
    assert page.count("12.00 (11.64–12.36)") == len(names) - 1
    assert page.count("21.0 MiB") == len(names)
    assert page.count("135795") == len(names)
    assert all(re.search(rf"^(run +)?{name}\b", page, re.MULTILINE) for name in names)
