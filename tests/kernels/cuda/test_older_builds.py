"""What tests/gpu does with the builds for older cards, on the emulator, one build for each age of card."""

import pytest
import torch

from qprobe.kernels.cuda.driver import Card
from tests.gpu.older_builds import run_build, runnable_builds

CARD = Card(0, "Emulated", "9.0", 4)


def one_of_each_age():
    """The first build of each kernel for each list of architectures."""
    found = {}
    for case in runnable_builds(CARD):
        _, source, build = case
        found.setdefault((source.name, build.architectures), case)
    return [pytest.param(*case, id=f"{name}-{case[2].name}") for (name, _), case in found.items()]


@pytest.mark.parametrize(("kernel", "source", "build"), one_of_each_age())
def test_a_build_for_another_card_computes_the_same(emulated, monkeypatch, kernel, source, build):
    emulated.card = CARD
    error, limit = run_build(kernel, source, build, torch.device("cpu"), monkeypatch)
    assert error <= limit
    assert (source.name, build.name) in {(name, used) for name, used, _ in emulated.launched}


def test_every_age_is_among_them():
    ages = {(case.values[1].name, case.values[2].architectures[0]) for case in one_of_each_age()}
    assert {("gemm_w4a16", "7.5"), ("gemm_w4a16", "8.0"), ("gemm_s8_mma_turing", "7.5")} <= ages
