"""Dequantization gives the weight of the definition, bit for bit."""

import pytest
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.quantize.scheme import dequantize_weight
from tests.emulator.floats import DTYPES
from tests.emulator.launch import SCHEDULES
from tests.emulator.weights import dequantize, find_cases, make_weight

CASES = find_cases("dequantize")


def check(case, n, k, **how):
    wanted = dequantize_weight(
        make_weight(case.scheme, n, k), SCHEMES[case.scheme], DTYPES[case.build.activation]
    )
    assert torch.equal(dequantize(case, n, k, **how), wanted), (n, k, how)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_are_those_of_the_definition(case):
    group = case.group
    for n, k in ((1, group), (7, 2 * group), (33, 128), (64, 3 * group), (65, case.build.tile.k)):
        check(case, n, k)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("split", [2, 5])
def test_blocks_along_k_leave_nothing_out(case, split):
    check(case, 9, 2 * case.build.tile.k + case.group, split=split)


@pytest.mark.parametrize("case", CASES[:: len(DTYPES)], ids=str)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_order_of_threads_does_not_matter(case, schedule):
    check(case, 40, 3 * case.group, schedule=schedule)
