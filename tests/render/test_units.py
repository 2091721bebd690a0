from __future__ import annotations

import pytest

from qprobe.documents.base import Quantity
from qprobe.render import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (4.312e-3, "4.31 ms"),
        (999.6e-6, "1.00 ms"),
        (12.34e-9, "12.3 ns"),
        (1.0, "1.00 s"),
        (7200, "7200 s"),
    ],
)
def test_seconds(seconds, text):
    assert units.format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (90_806_000, "86.6 MiB"),
        (2**30 - 1, "1.00 GiB"),
        (2**52, "4096 TiB"),
    ],
)
def test_bytes(count, text):
    assert units.format_bytes(count) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [(0, "0"), (0.0123, "0.0123"), (0.00999999, "0.0100"), (1.2e-5, "1.2e-05"), (12.0, "12.0")],
)
def test_errors(error, text):
    assert units.format_error(error) == text


def test_ratios_and_rates():
    assert units.format_ratio(1.618) == "1.62×"
    assert units.format_rate(21.4e9) == "21.4 GB/s"
    assert units.format_operations(1.25e12) == "1.25 TOPS"


@pytest.mark.parametrize(
    ("provenance", "uncertainty", "text"),
    [
        ("measured", 0.1, "4.00 ms"),
        ("modelled", 0.0, "4.00 ms"),
        ("modelled", 0.25, "3.00–5.00 ms"),
        ("modelled", 0.9, "400 µs–7.60 ms"),
        ("modelled", 3.0, "0 s–16.0 ms"),
    ],
)
def test_only_a_modelled_figure_is_an_interval(provenance, uncertainty, text):
    figure = Quantity(value=4e-3, provenance=provenance, uncertainty=uncertainty)
    assert units.format_quantity(figure, units.format_seconds) == text
