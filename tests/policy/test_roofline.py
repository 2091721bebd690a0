from __future__ import annotations

import pytest

from qprobe.documents.profile import Shape
from qprobe.documents.roofline import ASSUMED_UNCERTAINTY, UNCERTAINTY, attainable, linear_work
from qprobe.documents.scheme import SCHEMES
from tests.documents_factory import profile

SHAPE = Shape(m=128, n=256, k=64)


@pytest.mark.parametrize(
    ("scheme", "kernel", "dtype", "unit"),
    [
        ("NONE", "reference", "float32", "float32"),
        ("BF16", "cpu.onednn_linear", "float32", "bfloat16"),
        ("W8A16", "cpu.other", "bfloat16", "bfloat16"),
        ("W8A8", "cpu.onednn_qlinear", "float32", "int8"),
        ("W8A8", "reference", "float32", "float32"),
    ],
)
def test_the_unit_is_what_the_kernel_multiplies(scheme, kernel, dtype, unit):
    assert linear_work(SCHEMES[scheme], kernel, dtype, SHAPE).unit == unit


def test_a_linear_moves_input_output_and_weights():
    work = linear_work(SCHEMES["NONE"], "reference", "float32", SHAPE)
    assert work.moved_bytes == 4 * (128 * 64 + 128 * 256 + 256 * 64)
    assert work.ops == 2 * 128 * 256 * 64


def test_the_reference_pays_for_dequantizing():
    direct = linear_work(SCHEMES["W8A16"], "cpu.other", "float32", SHAPE)
    reference = linear_work(SCHEMES["W8A16"], "reference", "float32", SHAPE)
    assert reference.moved_bytes - direct.moved_bytes == 2 * 256 * 64 * 4


def test_the_slower_of_bytes_and_operations_decides():
    few_rows = linear_work(SCHEMES["NONE"], "reference", "float32", Shape(m=1, n=4096, k=4096))
    many_rows = linear_work(SCHEMES["NONE"], "reference", "float32", Shape(m=4096, n=4096, k=4096))
    assert attainable(profile(), few_rows, 0).value == few_rows.moved_bytes / 20e9
    assert attainable(profile(), many_rows, 0).value == many_rows.ops / 1e11


def test_a_type_without_a_peak_is_as_fast_as_float32():
    known = profile(peaks={"float32": profile().peaks["float32"]})
    work = linear_work(SCHEMES["W8A8"], "cpu.onednn_qlinear", "float32", Shape(m=9999, n=99, k=99))
    assert attainable(known, work, 0).value == work.ops / 1e11
    assert attainable(known, work, 0).uncertainty == UNCERTAINTY


def test_a_profile_that_knows_nothing_still_answers_with_more_doubt():
    unknown = profile(peaks={}, copy_bandwidth_bytes_per_s=None)
    found = attainable(unknown, linear_work(SCHEMES["NONE"], "reference", "float32", SHAPE), 1e-6)
    assert found.value > 1e-6
    assert found.uncertainty == ASSUMED_UNCERTAINTY
