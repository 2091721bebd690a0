"""Every method that needs nothing but torch, by execution on this processor, with the right outcome."""

from __future__ import annotations

import pytest

from qprobe.doctor import list_methods
from qprobe.doctor.execution.watch import Limits
from qprobe.doctor.trying import Trying
from tests.doctor.machines import load

LIMITS = Limits(import_s=60, step_s=60, whole_s=240, memory_bytes=2 * 2**30)
METHODS = {
    method.id: method
    for method in list_methods()
    if method.needs == ("torch",) and method.level == "full" and "cpu" in method.devices
}
BEYOND_ROWS = {"torch-int8pack"}
"""Reads past the end of rows where K is no multiple of 16: anything may come of that."""
GROUPED = ("qprobe-nf4", "qprobe-w4a16-asym", "qprobe-w4a16-g32", "qprobe-w4a16-g64", "torch-int4pack",
           "torch-int4pack-fp16", "torch-int4pack-fp32")  # fmt: skip
"""Weights in groups along K, which 250 is no multiple of."""


@pytest.fixture(scope="module")
def verdicts():
    """One starter for all, and each method once."""
    with Trying(load("epyc_avx2"), is_full=False, limits=LIMITS) as trying:
        return {name: trying.verdict(method, "cpu") for name, method in METHODS.items()}


def test_they_are_those_that_only_a_full_run_has():
    assert set(GROUPED) | BEYOND_ROWS < set(METHODS)
    assert "qprobe-fp8-dynamic" in METHODS
    assert "torch-scaled-mm" in METHODS


@pytest.mark.parametrize("name", METHODS)
def test_it_is_right_at_every_shape_that_it_takes(verdicts, name):
    verdict = verdicts[name]
    steps = [trial for trial in verdict.trials if ", " in trial.name]
    ordinary = [trial for trial in steps if "K = 250" not in trial.name]
    assert ordinary
    assert {trial.outcome for trial in ordinary} == {"right"}, verdict.detail
    assert all(0 < trial.error <= trial.limit for trial in ordinary)
    odd = {trial.outcome for trial in steps if "K = 250" in trial.name}
    if name in GROUPED:
        assert odd == {"refused"}, verdict.detail
        assert "refuses K = 250" in verdict.why
    elif name not in BEYOND_ROWS:
        assert odd <= {"right", "refused"}, verdict.detail
        assert verdict.verdict in ("fast", "works", "slow")


@pytest.mark.parametrize("name", sorted(set(METHODS) - BEYOND_ROWS))
def test_it_is_timed(verdicts, name):
    verdict = verdicts[name]
    assert [speed.m for speed in verdict.speeds] == [1, 32], verdict.detail
    assert all(speed.ratio_low <= speed.ratio <= speed.ratio_high for speed in verdict.speeds)
