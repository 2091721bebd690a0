from __future__ import annotations

import pytest

from qprobe.documents.scheme import SCHEMES
from qprobe.policy.candidates import Builder, compute_dtypes, schemes_at
from qprobe.policy.error import ErrorModel
from qprobe.policy.timing import GroupClock
from tests.documents_factory import (
    REFERENCE_FACT,
    by_ops,
    fact,
    linear,
    measured_profile,
    model,
    objective,
    profile,
)

MODEL = model([linear(k=128)])
QUANTIZED = tuple(name for name, scheme in SCHEMES.items() if scheme.is_quantized)


def candidates(facts, of=MODEL, dtypes=("float32",)):
    known = profile(kernels=facts)
    builder = Builder(of, known, GroupClock(known, objective()), ErrorModel(of, None))
    return builder.of_group("w", of.linears, dtypes)


@pytest.mark.parametrize(
    ("stored", "computed", "expected"),
    [
        ("float32", "float32", ("NONE", "BF16", *QUANTIZED)),
        ("float32", "bfloat16", ("BF16", *QUANTIZED)),
        ("bfloat16", "bfloat16", ("NONE", *QUANTIZED)),
        ("bfloat16", "float32", ("NONE", "BF16", *QUANTIZED)),
        ("float16", "bfloat16", ("BF16", *QUANTIZED)),
    ],
)
def test_schemes_follow_from_the_stored_and_the_compute_type(stored, computed, expected):
    assert schemes_at(stored, computed) == expected


def test_only_measured_types_are_considered():
    measured = measured_profile(MODEL, by_ops(), dtypes=("float32",))
    assert compute_dtypes(MODEL, measured) == ("float32",)


def test_all_types_are_considered_where_nothing_was_measured():
    assert compute_dtypes(MODEL, profile()) == ("float32", "bfloat16")


def test_float16_is_never_computed_on_a_cpu():
    half = model([linear(dtype="float16")], dtype="float16")
    assert compute_dtypes(half, profile()) == ("float32", "bfloat16")


def test_a_gpu_computes_float16():
    half = model([linear(dtype="float16")], dtype="float16")
    gpu = profile().model_copy(
        update={"fingerprint": profile().fingerprint.model_copy(update={"kind": "cuda"})}
    )
    assert compute_dtypes(half, gpu)[0] == "float16"


@pytest.mark.parametrize(
    ("codes", "algorithm"),
    [
        ((None, None), "rtn"),
        ((127, None), "rtn"),
        ((64, None), "rtn_reduce_range"),
        ((127, 63), "rtn_reduce_range"),
    ],
    ids=str,
)
def test_kernels_of_one_packing_share_the_codes_that_all_multiply_exactly(codes, algorithm):
    facts = [
        fact(f"k{index}", ("W8A8",), "shared", max_code=code) for index, code in enumerate(codes)
    ]
    found = {(c.scheme.name, c.packing): c for c in candidates(facts)}
    assert found["W8A8", "shared"].algorithm == algorithm
    assert found["W8A8", "shared"].kernels == ("k0", "k1")
    assert found["W8A8", "reference"].algorithm == "rtn"


def test_a_kernel_that_multiplies_no_codes_cannot_run():
    found = candidates([fact("k", ("W8A8",), max_code=7)])
    (refused,) = [c for c in found if c.packing == "k"]
    assert refused.time is None
    assert refused.missing == ("k: no algorithm yields codes that small",)


def test_an_unavailable_kernel_is_a_candidate_that_says_why():
    facts = [REFERENCE_FACT, fact("k", ("W8A8",), available=False, reason="no AVX2")]
    (refused,) = [c for c in candidates(facts) if c.packing == "k"]
    assert refused.missing == ("k: no AVX2",)


def test_the_reference_is_there_even_where_the_profile_knows_no_kernels():
    found = candidates([])
    assert {c.scheme.name for c in found} == {"NONE", "BF16", *QUANTIZED}
    assert all(c.kernels == ("reference",) for c in found)


def test_a_scheme_whose_groups_do_not_suit_the_shape_says_why():
    for candidate in candidates([], of=model([linear(k=96)])):
        cut = 96 % candidate.scheme.block
        assert (candidate.time is None) == bool(cut)
        if cut:
            assert candidate.missing[0].startswith("K = 96 is not a multiple of")


def test_bytes_are_of_the_compute_type_unless_the_scheme_says_otherwise():
    found = {
        (c.scheme.name, c.compute_dtype): c.weight_bytes
        for c in candidates([], dtypes=("float32", "bfloat16"))
    }
    assert found["NONE", "float32"] == 64 * 128 * 4 + 64 * 4
    assert found["BF16", "float32"] == 64 * 128 * 2 + 64 * 4
    assert found["BF16", "bfloat16"] == 64 * 128 * 2 + 64 * 2
    assert found["W8A8", "bfloat16"] == 64 * 128 + 64 * 4 + 64 * 2
