from __future__ import annotations

import math

import pytest

from qprobe.documents.objective import DEFAULT_MAX_ERROR
from qprobe.errors import InputError
from qprobe.flow.objective import build_objective, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("20GiB", 20 * 2**30),
        ("8 GB", 8 * 10**9),
        ("8g", 8 * 10**9),
        ("512Mi", 512 * 2**20),
        ("1.5GiB", 3 * 2**29),
        (" 1000 ", 1000),
        ("7 b", 7),
    ],
)
def test_amounts_of_memory(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1GiB", "0", "1e9", "nan", "20 GiBB", "20 XB", "١GB", "0.1", "9" * 400]
)
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(InputError, match="--memory"):
        parse_bytes(text)


def test_the_default_limit_is_soft_and_a_given_one_is_hard():
    assert build_objective().error_limit.value == DEFAULT_MAX_ERROR
    assert not build_objective().error_limit.hard
    assert build_objective(max_error=0.05).error_limit.hard


@pytest.mark.parametrize("limit", [0.0, -0.1, math.nan, math.inf])
def test_a_limit_that_is_no_positive_number_is_refused(limit):
    with pytest.raises(InputError, match="--max-error"):
        build_objective(max_error=limit)


@pytest.mark.parametrize(
    ("option", "changes"),
    [
        ("--batch", {"batch": 0}),
        ("--prompt", {"prompt": -1}),
        ("--generate", {"generate": -1}),
        ("tokens", {"batch": 2**20, "prompt": 2**20}),
    ],
)
def test_a_request_out_of_range_is_refused(option, changes):
    with pytest.raises(InputError, match=option):
        build_objective(**changes)
