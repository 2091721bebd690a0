from __future__ import annotations

import re

import pytest

from qprobe.documents.objective import ErrorLimit, Objective
from qprobe.documents.plan import KernelRange
from qprobe.policy import make_plan
from qprobe.render.explain import explanation_text
from qprobe.render.folding import fold_groups, kernels_by_m, kind_of, range_of_m
from qprobe.render.html import plan_html
from qprobe.render.plan import alternatives_of, plan_text
from tests import documents_factory as factory
from tests.render import samples
from tests.render.pages import planned


def fold(plan):
    return fold_groups(plan, plan.targets[plan.primary])


def test_equal_decisions_of_many_layers_are_one_row():
    rows = fold(samples.plan(layers=12))
    assert [(row.label, len(row.groups)) for row in rows] == [
        ("qkv", 12),
        ("out", 12),
        ("pooler", 1),
    ]


def test_a_layer_that_differs_has_a_row_of_its_own():
    other = samples.decision("NONE", (("reference", 1, None),))
    rows = fold(samples.plan(groups={"encoder.layer.1.qkv": other}))
    assert [(row.label, row.scheme, len(row.groups)) for row in rows][:2] == [
        ("qkv", "W8A8", 2),
        ("out", "W8A8", 3),
    ]
    assert rows[2].groups == ("encoder.layer.1.qkv",)


def test_other_ranges_of_m_are_another_decision():
    other = samples.decision(kernels=(("a", 1, 8), ("b", 9, None)))
    rows = fold(samples.plan(groups={"encoder.layer.1.qkv": other}))
    assert "a (M ≤ 8), b (M ≥ 9)" in [row.kernels for row in rows]


def test_bytes_are_those_that_were_predicted_or_unknown():
    told = samples.decision().model_copy(update={"predicted": samples.group_predicted(3000)})
    groups = {f"encoder.layer.{i}.qkv": told for i in range(3)}
    rows = {row.label: row for row in fold(samples.plan(groups=groups))}
    assert rows["qkv"].weight_bytes == "8.79 KiB"  # 9000 bytes
    assert rows["out"].weight_bytes == "unknown"


def test_bytes_of_experts_are_those_of_all_of_them():
    experts = factory.linear("h.0.experts.{0..63}.up", 64, 64, rows="experts", count=64, top_k=2)
    model = factory.model([experts])
    profile = factory.measured_profile(model, factory.by_ops(), rows=(1, 4, 128))
    plan = make_plan(model, profile, factory.objective(), factory.sensitivity(model))
    (reason,) = [r for r in plan.targets["cpu-test"].groups[experts.tensor].reasons if "iB" in r]
    told = reason.partition(" against")[0]
    assert told == "288 KiB"  # 64 experts of 64·64 codes, and 64 scales and as many biases of fp32
    assert re.search(rf"^up .*64×64 .* {told}$", plan_text(plan), re.MULTILINE)
    assert f"weights       {told}" in explanation_text(plan, experts.tensor)
    assert f'data-name="weights" class="figure">{told}<' in plan_html(plan)


def test_reasons_that_differ_name_the_group_that_they_are_of():
    other = samples.decision(reasons=("slightly faster",))
    page = plan_text(samples.plan(groups={"encoder.layer.2.out.weight": other}), width=120)
    assert "such as encoder.layer.0.out.weight" in page
    assert "the figures are those of encoder.layer.0.qkv" not in page


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (1, None, "any M"),
        (1, 8, "M ≤ 8"),
        (9, 64, "9 ≤ M ≤ 64"),
        (5, 5, "M = 5"),
        (65, None, "M ≥ 65"),
    ],
)
def test_ranges_of_m(low, high, text):
    assert range_of_m(KernelRange(kernel="a", m_min=low, m_max=high)) == text


def test_one_kernel_for_every_m_is_only_its_name():
    assert kernels_by_m((KernelRange(kernel="a", m_min=1, m_max=None),)) == "a"


def test_numbers_inside_names_stay():
    assert kind_of("h.10.ffn2.weight") == "h.*.ffn2"


def test_a_plan_of_a_single_layer_keeps_its_name():
    assert fold(samples.plan(layers=0))[0].label == "pooler"


def test_names_of_kernels_and_layers_stay_whole_where_there_is_room():
    decided = samples.decision(kernels=(("cpu.onednn_qlinear_u8", 1, None),))
    page = plan_text(samples.plan(groups={"encoder.layer.1.qkv": decided}))
    assert "cpu.onednn_qlinear_u8" in page


@pytest.mark.parametrize("width", range(40, 121, 8))
def test_names_and_figures_of_alternatives_are_whole_at_any_width(width):
    plan, _ = planned()
    section = plan.targets["cpu-test"]
    page = plan_text(plan, width=width).partition("Alternatives")[2]
    for item in section.alternatives:
        assert re.search(rf"^(plan +)?{item.name}\b", page, re.MULTILINE)
    figures = alternatives_of(section)
    assert all(figure in page for row in figures for figure in row[1:5])


def test_shows_losers_with_the_reason():
    page = plan_text(samples.plan())
    assert "1.6 times the time" in page
    assert "not feasible:" in page


def test_rejected_schemes_only_in_full():
    assert "slower by half" not in plan_text(samples.plan())
    assert "not W8A16: slower by half; larger too" in plan_text(samples.plan(), full=True)


def test_says_what_the_limits_are():
    hard = Objective(error_limit=ErrorLimit(value=0.01, hard=True), memory_limit_bytes=20 * 2**30)
    page = plan_text(samples.plan(objective=hard))
    assert "error ≤ 0.0100 (hard), memory ≤ 20.0 GiB" in page


def test_a_soft_limit_yields_to_free_memory_as_the_page_says():
    model = factory.model()
    gains = factory.sensitivity(model, gains=dict.fromkeys(model.groups(), 0.5))
    profile = factory.measured_profile(
        model, factory.by_ops(), rows=(1, 128), free_memory_bytes=1_120_000
    )
    plan = make_plan(model, profile, factory.objective(), gains)
    assert "yields to memory" in plan.targets["cpu-test"].warnings[0]
    page = " ".join(plan_text(plan).split())
    assert (
        "error ≤ 0.0500 (soft: the memory limit goes first), memory ≤ the device's free memory"
    ) in page


def test_says_that_the_error_is_unknown():
    bare = samples.plan()
    unknown = bare.targets["cpu-test"].model_copy(
        update={"predicted": samples.predicted(error=None)}
    )
    page = plan_text(bare.model_copy(update={"targets": {"cpu-test": unknown}}))
    assert "unknown: nothing was calibrated" in page


def test_a_modelled_time_is_an_interval():
    bare = samples.plan()
    changed = samples.predicted(provenance="modelled")
    modelled = bare.targets["cpu-test"].model_copy(update={"predicted": changed})
    page = plan_text(bare.model_copy(update={"targets": {"cpu-test": modelled}}))
    assert "3.80–4.20 ms a request (modelled, ±5 %)" in page


def test_the_primary_device_comes_first():
    bare = samples.plan()
    other = bare.targets["cpu-test"].model_copy(update={"fingerprint": samples.gpu_fingerprint()})
    targets = {"h100-sxm5-80gb": other, **bare.targets}
    page = plan_text(bare.model_copy(update={"targets": targets}))
    assert 0 < page.index("cpu-test") < page.index("h100-sxm5-80gb")
    assert "2 SMs" in page


def test_an_explanation_has_every_reason_and_kernel():
    kernels = (("reference", 1, 8), ("cpu.onednn_qlinear", 9, None))
    decided = samples.decision(kernels=kernels, reasons=("twice as fast", "a quarter of the bytes"))
    page = explanation_text(samples.plan(groups={"pooler.weight": decided}), "pooler.weight")
    for words in ("twice as fast", "a quarter of the bytes", "slower by half", "larger too"):
        assert words in page
    assert "M ≤ 8  reference" in page
    assert "M ≥ 9  cpu.onednn_qlinear" in page
