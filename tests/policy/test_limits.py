"""Limits of memory and of error, and pins: what yields to what, and what is refused."""

from __future__ import annotations

import re

import pytest

from qprobe.documents.objective import ErrorLimit
from qprobe.errors import InfeasibleError
from tests.documents_factory import by_ops, measured_profile, sensitivity
from tests.policy.sections import GROUPS, MODEL, SLOW_INT8, only, schemes, section


def test_memory_forces_quantization_that_is_slower():
    unlimited = section(on=SLOW_INT8)
    assert schemes(unlimited) == only("NONE")
    limit = int(unlimited.predicted.memory_bytes.value) - 200_000
    found = section(on=SLOW_INT8, memory_limit_bytes=limit)
    assert {"W8A16", "W8A8"} & set(schemes(found).values())
    assert found.predicted.memory_bytes.value <= limit
    assert any("slower than unquantized, for want of memory" in w for w in found.warnings)


def test_free_memory_is_the_default_limit():
    need = section(on=SLOW_INT8).predicted.memory_bytes.value
    tight = SLOW_INT8.model_copy(update={"free_memory_bytes": int(need)})
    assert section(on=tight).predicted.memory_bytes.value <= 0.9 * need


def test_an_unknown_memory_is_no_limit():
    unknown = SLOW_INT8.model_copy(update={"free_memory_bytes": None})
    assert schemes(section(on=unknown)) == only("NONE")


def test_a_limit_of_exactly_what_the_plan_needs_is_met():
    found = section()
    need = int(found.predicted.memory_bytes.value)
    assert schemes(section(memory_limit_bytes=need)) == schemes(found)


def _tight():
    """A limit that only 8-bit weights meet, on a model whose error under them is large."""
    fragile = sensitivity(MODEL, gains=dict.fromkeys(GROUPS, 1e4))
    smallest = int(section().predicted.memory_bytes.value)
    return {"known": fragile, "memory_limit_bytes": smallest}


def test_a_soft_error_limit_yields_to_memory_and_says_so():
    found = section(**_tight())
    assert schemes(found) == only("W8A16")
    assert found.predicted.error.value > 0.05
    assert found.warnings[0].startswith("the error limit 0.05 yields to memory: 0.89 is expected")


def test_a_hard_error_limit_never_yields():
    with pytest.raises(
        InfeasibleError, match=r"fits both limits: within an error of 0\.05"
    ) as raised:
        section(**_tight(), error_limit=ErrorLimit(value=0.05, hard=True))
    assert "bytes or a greater error" in raised.value.hint


def test_infeasible_memory_names_the_least_that_any_plan_needs():
    with pytest.raises(InfeasibleError, match=r"needs .* \(\d+ bytes\)") as raised:
        section(memory_limit_bytes=1000)
    (smallest,) = (int(found) for found in re.findall(r"\((\d+) bytes\)", str(raised.value)))
    assert str(smallest) in raised.value.hint
    assert section(memory_limit_bytes=smallest)
    with pytest.raises(InfeasibleError):
        section(memory_limit_bytes=smallest - 1)


def test_a_pin_that_exceeds_a_hard_limit_names_the_least_error():
    pin = {GROUPS[0]: "W8A8"}
    words = r"the least error is 0\.01, the limit is 0\.001 less 20%"
    with pytest.raises(InfeasibleError, match=words) as raised:
        section(pinned=pin, error=0.001)
    (allowed,) = re.findall(r"allow an error of (\S+),", raised.value.hint)
    assert section(pinned=pin, error=float(allowed))
    with pytest.raises(InfeasibleError):
        section(pinned=pin, error=0.95 * float(allowed))


def test_under_a_hard_error_limit_the_memory_that_is_named_is_enough():
    tight = {"known": _tight()["known"], "error_limit": ErrorLimit(value=0.05, hard=True)}
    with pytest.raises(InfeasibleError) as raised:
        section(memory_limit_bytes=1000, **tight)
    (allowed,) = re.findall(r"allow (\d+) bytes", raised.value.hint)
    assert section(memory_limit_bytes=int(allowed), **tight)


def test_a_pin_is_kept_even_where_it_is_slower():
    found = section(on=SLOW_INT8, pinned={GROUPS[0]: "W8A8"})
    assert schemes(found) == only("NONE") | {GROUPS[0]: "W8A8"}


def test_a_pin_to_none_keeps_the_compute_type():
    quick = measured_profile(
        MODEL,
        lambda *cell: by_ops()(*cell) * (0.1 if cell[2] == "bfloat16" else 1),
        dtypes=("float32", "bfloat16"),
    )
    assert section(on=quick).compute_dtype == "bfloat16"
    assert section(on=quick, pinned={GROUPS[0]: "NONE"}).compute_dtype == "float32"


def test_a_pin_against_the_rules_names_them():
    with pytest.raises(InfeasibleError, match="needs calibration"):
        section(known=None, pinned={GROUPS[0]: "W8A8"})
