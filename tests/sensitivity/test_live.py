"""Modules that people write themselves are measured, or refused in words."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qprobe.errors import InputError
from qprobe.sensitivity import measure_sensitivity


class Small(nn.Module):
    """Tokens, positions, and two layers."""

    def __init__(self, tokens: int = 300, positions: int = 64) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.tokens, self.positions = nn.Embedding(tokens, 32), nn.Embedding(positions, 32)
            self.hidden, self.out = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, input_ids):
        return self.out(self.hidden(self.embed(input_ids)))

    def embed(self, input_ids):
        return self.tokens(input_ids) + self.positions(torch.arange(input_ids.shape[1]))


class ByName(Small):
    """Calls its layers by the name of their argument."""

    def forward(self, input_ids):
        return self.out(input=self.hidden(input=self.embed(input_ids)))


def test_a_table_of_positions_larger_than_the_vocabulary():
    assert measure_sensitivity(Small(64, 512), ("W8A16",)).layers


def test_a_layer_that_is_called_by_the_name_of_its_argument():
    found, same = (measure_sensitivity(kind(), ("W8A16", "W8A8")) for kind in (ByName, Small))
    assert (found.layers, found.gains, found.uniform) == (same.layers, same.gains, same.uniform)


@pytest.mark.parametrize("error", [KeyError("labels"), AttributeError("it"), IndexError("far")])
def test_whatever_a_module_raises_is_told_in_words(error):
    module = Small()

    def forward(input_ids):
        raise error

    module.forward = forward
    with pytest.raises(InputError, match=f"does not run on token ids: {type(error).__name__}"):
        measure_sensitivity(module, ("W8A16",))


def test_too_few_positions_are_told_in_words():
    with pytest.raises(InputError, match="does not run on token ids: IndexError"):
        measure_sensitivity(Small(300, 32), ("W8A16",))


def test_a_module_without_weights():
    with pytest.raises(InputError, match="on the meta device"):
        measure_sensitivity(Small().to("meta"), ("W8A16",))


def test_a_text_that_is_not_unicode():
    with pytest.raises(InputError, match="not Unicode: surrogates not allowed"):
        measure_sensitivity(Small(), ("W8A16",), "\ud800abc")


class Exact(Small):
    """Computes with a constant that stays in fp32."""

    def embed(self, input_ids):
        return super().embed(input_ids) * torch.ones(32)


class Uncopied(Small):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = (number for number in range(3))


@pytest.mark.parametrize("kind", [Exact, Uncopied])
def test_a_module_that_does_not_run_in_bf16_has_no_floor(kind):
    found = measure_sensitivity(kind(), ("W8A16",))
    assert found.noise_floor is None
    assert found.layers == measure_sensitivity(Small(), ("W8A16",)).layers


def test_the_floor_of_bf16_takes_no_copy():
    found = measure_sensitivity(Uncopied().to(torch.bfloat16), ("W8A16",))
    assert found.noise_floor == 0
