"""A scheme whose range a layer exceeds is ruled out for it, and the rest is measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qprobe.checkpoint import read_model
from qprobe.policy.error import ErrorModel
from qprobe.sensitivity import measure_sensitivity


class Loud(nn.Module):
    """Three layers, of which the second sees what the first makes, many times as large."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.embed = nn.Embedding(300, 64)
            self.first, self.second, self.last = (nn.Linear(64, 64) for _ in range(3))

    def forward(self, input_ids):
        loud = self.second(self.first(self.embed(input_ids)) * self.factor)
        return self.last(loud / self.factor)


def recorded(found, scheme):
    return {noise.tensor for noise in found.layers if noise.scheme == scheme}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_beyond_the_range_of_fp16(dtype):
    module = Loud(1e6).to(dtype)
    found = measure_sensitivity(module, ("W8A16", "BF16", "FP16"))
    everything = {"first.weight", "second.weight", "last.weight"}
    assert recorded(found, "W8A16") == recorded(found, "BF16") == everything
    assert recorded(found, "FP16") == everything - {"second.weight"}
    assert {uniform.scheme for uniform in found.uniform} == {"W8A16", "BF16"}
    errors = ErrorModel(read_model(module), found)
    assert errors.power("second.weight", "FP16", "none") is None
    assert errors.power("second.weight", "W8A16", "rtn") is not None


def test_nothing_finite_is_not_out_of_reach():
    module = Loud(1e6)
    found = measure_sensitivity(module, ("FP16",))
    assert {gain.group for gain in found.gains} == {"first.weight", "last.weight"}
    assert not ErrorModel(read_model(module), found).is_out_of_reach("second.weight")


@pytest.mark.parametrize(
    ("peak", "out"), [(7e4, {"FP16"}), (1e35, {"W8A16", "FP16"})], ids=["fp16", "all but a cast"]
)
def test_a_weight_beyond_the_range_rules_out_the_scheme_for_its_layer_alone(peak, out):
    module = Loud()
    module.second.weight.data[0, 0] = peak
    module.last.weight.data /= peak
    found = measure_sensitivity(module, ("W8A16", "BF16", "FP16"))
    for scheme in ("W8A16", "BF16", "FP16"):
        assert ("second.weight" in recorded(found, scheme)) == (scheme not in out)
        assert "first.weight" in recorded(found, scheme)
