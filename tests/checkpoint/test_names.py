"""Tensor names of a checkpoint lead to modules, with or without the base model's prefix."""

from __future__ import annotations

import pytest
from torch import nn

from qprobe.checkpoint.names import resolve_modules
from qprobe.errors import PlanMismatchError


class Encoder(nn.Module):
    """A model whose linears are l0 to l4."""

    base_model_prefix = "enc"

    def __init__(self) -> None:
        super().__init__()
        for index in range(5):
            setattr(self, f"l{index}", nn.Linear(2, 2))
        self.norm = nn.LayerNorm(2)


class WithHead(nn.Module):
    """The same under a head."""

    base_model_prefix = "enc"

    def __init__(self) -> None:
        super().__init__()
        self.enc = Encoder()
        self.classifier = nn.Linear(2, 2)


CASES = {
    "as it is": (Encoder, "l0.weight", "l0"),
    "prefix added": (WithHead, "l0.weight", "enc.l0"),
    "prefix taken away": (Encoder, "enc.l0.weight", "l0"),
    "prefix kept": (WithHead, "enc.l0.weight", "enc.l0"),
    "outside the prefix": (WithHead, "classifier.weight", "classifier"),
}


@pytest.mark.parametrize(("build", "tensor", "path"), CASES.values(), ids=CASES)
def test_resolves(build, tensor, path):
    assert resolve_modules(build(), [tensor]) == {tensor: path}


def test_a_lone_linear():
    assert resolve_modules(nn.Linear(2, 2), ["weight"]) == {"weight": ""}


def test_no_prefix_is_fine():
    assert resolve_modules(nn.Sequential(nn.Linear(2, 2)), ["0.weight"]) == {"0.weight": "0"}


MISSING = ["other.weight", "norm.weight", "l0.bias", "l0.weight.weight", "l0", ".weight", ""]


@pytest.mark.parametrize("tensor", MISSING)
def test_missing(tensor):
    with pytest.raises(PlanMismatchError, match="no linear for 1 of 1 tensors"):
        resolve_modules(Encoder(), [tensor])


def test_missing_ones_are_counted_and_the_first_are_named():
    with pytest.raises(PlanMismatchError) as caught:
        resolve_modules(Encoder(), ["l0.weight", *(f"x{i}.weight" for i in range(5))])
    assert str(caught.value) == (
        "Encoder has no linear for 5 of 6 tensors: x0.weight, x1.weight, x2.weight, …"
    )
    assert "qprobe plan" in caught.value.hint
