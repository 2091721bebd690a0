from __future__ import annotations

from qprobe.render.profile import profile_text
from tests import documents_factory as factory


def test_a_table_a_shape_with_the_ratio_to_unquantized():
    page = profile_text(
        factory.profile(
            [
                factory.measurement("NONE", "reference", 8, 64, 32, 4e-3, spread=0.1),
                factory.measurement("W8A8", "cpu.onednn_qlinear", 8, 64, 32, 2e-3, spread=0.1),
            ]
        )
    )
    assert "M = 8, N = 64, K = 32" in page
    rows = [line.split() for line in page.splitlines() if "fp32" in line]
    assert rows[0][:3] == ["W8A8", "cpu.onednn_qlinear", "fp32"]
    assert "2.00×" in rows[0]
    assert "1.80–2.20" in rows[0]
    assert "1.00×" in rows[1]


def test_without_the_unquantized_layer_there_is_no_ratio():
    only = factory.profile([factory.measurement("W8A8", "reference", 8, 64, 32, 2e-3)])
    assert "×" not in profile_text(only)


def test_what_was_skipped_is_listed_once_with_its_reason():
    skips = tuple(factory.skipped("W8A8", "a", m, 64, 64, "K is odd") for m in (1, 8))
    assert profile_text(factory.profile(skipped=skips)).count("W8A8 by a: K is odd") == 1


def test_says_that_nothing_was_measured_and_that_it_was_cut_short():
    page = profile_text(factory.profile(interrupted=True))
    assert "nothing was measured" in page
    assert "interrupted" in page
