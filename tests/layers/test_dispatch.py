"""Which layer a scheme gets, and which kernel a number of rows."""

import pytest
import torch
from torch import nn

from qprobe.documents.scheme import SCHEMES
from qprobe.errors import PlanMismatchError
from qprobe.layers import layers_by_scheme, make_layer
from qprobe.layers._linear import PlannedLinear
from tests.layers.ranges import every


def test_every_scheme_has_one_layer():
    assert set(layers_by_scheme()) == set(SCHEMES)


def plain():
    torch.manual_seed(0)
    return nn.Linear(100, 33).requires_grad_(False).eval()


def test_an_unquantized_layer_of_the_reference_stays_a_plain_linear():
    linear = plain()
    assert make_layer(linear, SCHEMES["NONE"], "none", every("reference"), torch.float32) is linear
    cast = make_layer(linear, SCHEMES["BF16"], "none", every("reference"), torch.bfloat16)
    assert type(cast) is nn.Linear
    assert cast.weight.dtype == torch.bfloat16
    assert linear.weight.dtype == torch.float32


def test_the_kernel_follows_the_number_of_rows():
    layer = make_layer(plain(), SCHEMES["W8A16"], "rtn", every("reference"), torch.float32)
    reference = layer._dispatch[0][1]
    layer._dispatch = ((4, "few"), (9, "some"), (None, "many"))
    rows = {1: "few", 4: "few", 5: "some", 9: "some", 10: "many", 500: "many"}
    assert {m: layer._select(torch.zeros(m, 100)) for m in rows} == rows
    assert layer._select(torch.zeros(2, 5, 100)) == "many"
    assert reference.id == "reference"


def test_kernels_of_two_packings_are_refused():
    kernels = every("cpu.onednn_qlinear_u8", "reference")
    with pytest.raises(PlanMismatchError, match="do not share one packing"):
        make_layer(plain(), SCHEMES["W8A8"], "rtn_reduce_range", kernels, torch.float32)


def test_a_kernel_that_cannot_compute_the_layer_is_refused():
    with pytest.raises(PlanMismatchError, match="does not compute W8A16"):
        make_layer(plain(), SCHEMES["W8A16"], "rtn", every("cpu.onednn_qlinear_u8"), torch.float32)


def test_layers_are_planned_linears():
    assert all(issubclass(layer, PlannedLinear) for layer in layers_by_scheme().values())
