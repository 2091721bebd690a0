"""What stands in for kernels that a card does not have: chosen by rows, and run before it is taken."""

from dataclasses import replace

import pytest
import torch

from qprobe.apply._fault import forget
from qprobe.apply._fit import fit_kernels
from qprobe.documents.plan import KernelRange
from qprobe.errors import CrashError
from qprobe.kernels import registry
from tests.plans import decide

ELSEWHERE = (
    KernelRange(kernel="cuda.gemm_s8_mma", m_min=1, m_max=8),
    KernelRange(kernel="cuda.gemm_w4a16", m_min=9, m_max=None),
)
"""Of which one never computes what the other does."""
ON_8_0 = [("gemv_w4a16", 1), ("gemm_w4a16", 128), ("dequantize_w4", None)]
ON_9_0 = [
    ("gemm_w4a16_bulk", 8),
    ("gemm_w4a16_pair", 16),
    ("gemm_w4a16", 32),
    ("gemm_w4a16_wgmma", None),
]
INT8_ON_9_0 = [
    ("gemm_s8_mma", 64),
    ("gemm_s8_wgmma_tma", 8191),
    ("gemm_s8_wgmma_pair", None),
]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch, tmp_path):
    """What was tried before, in this process and in others."""
    forget()
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))


def fit(kernels=ELSEWHERE, scheme="W4A16", **options):
    group = decide(scheme).model_copy(update={"kernels": kernels})
    return fit_kernels(group, 64, 128, torch.float16, "cpu", **options)


def spell(found):
    return [(item.kernel.removeprefix("cuda."), item.m_max) for item in found.kernels]


def tried(emulated):
    return {name for name, _, _ in emulated.launched}


def plant(monkeypatch, kernel_id, run, **changes):
    found = dict(registry.all_kernels())
    found[kernel_id] = replace(found[kernel_id], run=run(found[kernel_id].run), **changes)
    monkeypatch.setattr(registry, "all_kernels", lambda: found)


def slightly_wrong(exact):
    return lambda *args: exact(*args) * 1.01


def refusing(_exact):
    def run(*_args):
        raise RuntimeError("the compiler\n has an internal error")

    return run


@pytest.mark.parametrize(
    ("scheme", "capability", "ranges"),
    [
        ("W4A16", "9.0", ON_9_0),
        ("W4A16", "8.0", ON_8_0),
        ("W4A16", "7.0", [("gemv_w4a16", 8), ("dequantize_w4", None)]),
        ("W8A16", "9.0", [("gemv_w8a16", 1), ("gemm_w8a16", 32), ("gemm_w8a16_wgmma", None)]),
        ("W8A8", "9.0", INT8_ON_9_0),
        ("W8A8", "8.0", [("gemm_s8_mma", None)]),
        ("W8A8", "7.5", [("gemm_s8_mma_turing", None)]),
        ("W8A8", "7.0", [("gemm_s8_dp4a", None)]),
    ],
)
def test_rows_are_left_to_the_newest_units_where_these_are_faster(
    alone, scheme, capability, ranges
):
    """An H200 took 3.8 times as long for 8 rows without tensor cores, and twice as long for 128 without wgmma."""
    alone.card = replace(alone.card, capability=capability)
    assert spell(fit(scheme=scheme)) == ranges
    assert tried(alone) >= {name for name, _ in ranges}


def test_kernels_for_few_rows_are_for_more_where_the_one_for_many_fails(alone, monkeypatch):
    alone.card = replace(alone.card, capability="9.0")
    plant(monkeypatch, "cuda.gemm_s8_wgmma_pair", slightly_wrong)
    assert spell(fit(scheme="W8A8")) == [INT8_ON_9_0[0], ("gemm_s8_wgmma_tma", None)]
    plant(monkeypatch, "cuda.gemm_s8_wgmma_tma", slightly_wrong)
    plant(monkeypatch, "cuda.gemm_s8_wgmma", slightly_wrong)
    forget()
    assert spell(fit(scheme="W8A8")) == [("gemm_s8_mma", None)]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (slightly_wrong, "cuda.gemm_w4a16 was tried: wrong numbers: relative error 1.00e-02"),
        (refusing, "tried: it does not run here: the compiler has an internal error"),
    ],
)
def test_what_fails_when_tried_is_left_out_and_named(alone, monkeypatch, run, words):
    alone.card = replace(alone.card, capability="9.0")
    plant(monkeypatch, "cuda.gemm_w4a16", run)
    found = fit()
    assert spell(found) == [*ON_9_0[:2], ON_9_0[-1]]
    assert words in found.change


def test_what_no_card_has_measured_stands_in_for_nothing_but_runs_where_it_was_planned(
    alone, monkeypatch
):
    """Its trial is the first time that it runs on any card, and might not end."""
    alone.card = replace(alone.card, capability="9.0")
    plant(monkeypatch, "cuda.gemm_w4a16_pair", lambda run: run, unproven=True)
    assert spell(fit()) == [item for item in ON_9_0 if item[0] != "gemm_w4a16_pair"]
    planned = (KernelRange(kernel="cuda.gemm_w4a16_pair", m_min=1, m_max=None),)
    assert fit(planned, is_measured=False).kernels == planned


def test_the_reference_is_left_where_all_fail(alone, monkeypatch):
    for kernel_id in registry.all_kernels():
        if kernel_id != "reference":
            plant(monkeypatch, kernel_id, slightly_wrong)
    assert spell(fit()) == [("reference", None)]


def test_what_takes_the_card_is_left_out_by_the_next_process(alone):
    fit()  # What kernels share is there, so that nothing but a trial waits for the card.
    forget()
    alone.fault = "an illegal memory access was encountered"
    with pytest.raises(CrashError, match=r"gemv_w4a16 brought down .* illegal memory") as caught:
        fit()
    assert "run it again" in caught.value.hint
    alone.fault = ""
    assert spell(fit()) == [("gemm_w4a16", 128), ("dequantize_w4", None)]


def test_planned_kernels_are_tried_where_nobody_measured_them(alone, monkeypatch):
    alone.card = replace(alone.card, capability="9.0")
    planned = (KernelRange(kernel="cuda.gemm_w4a16_wgmma", m_min=1, m_max=None),)
    assert fit(planned).change == ""
    assert not alone.launched
    assert fit(planned, is_measured=False).change == ""
    assert tried(alone) == {"gemm_w4a16_wgmma"}
    plant(monkeypatch, "cuda.gemm_w4a16_wgmma", slightly_wrong)
    assert spell(fit(planned)) == [("gemm_w4a16_wgmma", None)]
    found = fit(planned, is_measured=False)
    assert found.change.startswith("cuda.gemm_w4a16_wgmma → cuda.gemm_w4a16_bulk, ")
    assert spell(found) == [*ON_9_0[:-2], *ON_8_0[1:]]


def test_what_was_tried_is_not_tried_again(alone):
    first = fit()
    alone.launched.clear()
    assert fit() == first
    assert not alone.launched
