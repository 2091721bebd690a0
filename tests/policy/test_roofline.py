from __future__ import annotations

import pytest

from qprobe.documents.profile import REFERENCE_FACT, Shape
from qprobe.documents.roofline import ASSUMED_UNCERTAINTY, UNCERTAINTY, attainable, linear_work
from qprobe.documents.scheme import SCHEMES
from tests.documents_factory import fact, profile

SHAPE = Shape(m=128, n=256, k=64)
FLOATS, CODES = fact("floats", ()), fact("codes", (), multiplies_codes=True)


@pytest.mark.parametrize(
    ("scheme", "fact", "dtype", "unit"),
    [
        ("NONE", REFERENCE_FACT, "float32", "float32"),
        ("BF16", FLOATS, "float32", "bfloat16"),
        ("W8A16", FLOATS, "bfloat16", "bfloat16"),
        ("W8A8", CODES, "float32", "int8"),
        ("W8A8", FLOATS, "float32", "float32"),
        ("FP8_DYNAMIC", CODES, "float32", "float8_e4m3fn"),
        ("W8A8", REFERENCE_FACT, "float32", "float32"),
    ],
)
def test_the_unit_is_what_the_kernel_multiplies(scheme, fact, dtype, unit):
    assert linear_work(SCHEMES[scheme], fact, dtype, SHAPE).unit == unit


def test_a_linear_moves_input_output_and_weights():
    work = linear_work(SCHEMES["NONE"], REFERENCE_FACT, "float32", SHAPE)
    assert work.moved_bytes == 4 * (128 * 64 + 128 * 256 + 256 * 64)
    assert work.ops == 2 * 128 * 256 * 64


def test_the_reference_pays_for_dequantizing():
    direct = linear_work(SCHEMES["W8A16"], FLOATS, "float32", SHAPE)
    reference = linear_work(SCHEMES["W8A16"], REFERENCE_FACT, "float32", SHAPE)
    assert reference.moved_bytes - direct.moved_bytes == 2 * 256 * 64 * 4
    # The product waits for the weight, however long it takes itself.
    written = SCHEMES["W8A16"].weight_bytes(256, 64, "float32") + 256 * 64 * 4
    rest = reference.moved_bytes - written
    assert reference.seconds(1e9, 1e9) == pytest.approx((written + reference.ops) / 1e9)
    assert reference.seconds(1e9, 1e30) == pytest.approx((written + rest) / 1e9)


def test_the_slower_of_bytes_and_operations_decides():
    few_rows = linear_work(SCHEMES["NONE"], REFERENCE_FACT, "float32", Shape(m=1, n=4096, k=4096))
    many_rows = linear_work(
        SCHEMES["NONE"], REFERENCE_FACT, "float32", Shape(m=4096, n=4096, k=4096)
    )
    assert attainable(profile(), few_rows, 0).value == few_rows.moved_bytes / 20e9
    assert attainable(profile(), many_rows, 0).value == many_rows.ops / 1e11


def test_a_type_without_a_peak_is_as_fast_as_float32():
    known = profile(peaks={"float32": profile().peaks["float32"]})
    work = linear_work(SCHEMES["W8A8"], CODES, "float32", Shape(m=9999, n=99, k=99))
    assert attainable(known, work, 0).value == work.ops / 1e11
    assert attainable(known, work, 0).uncertainty == UNCERTAINTY


def test_a_profile_that_knows_nothing_still_answers_with_more_doubt():
    unknown = profile(peaks={}, copy_bandwidth_bytes_per_s=None)
    found = attainable(
        unknown, linear_work(SCHEMES["NONE"], REFERENCE_FACT, "float32", SHAPE), 1e-6
    )
    assert found.value > 1e-6
    assert found.uncertainty == ASSUMED_UNCERTAINTY
