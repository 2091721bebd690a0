"""NormalFloat codes lie as bitsandbytes reads them: two a byte, the first in the high half."""

import pytest
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.quantize.codebook import NF4
from qprobe.quantize.scheme import dequantize_weight, quantize_weight


def test_every_value_of_the_table_gets_its_own_index_in_order():
    weight = torch.tensor(NF4).repeat(4).reshape(1, 64) * 3.5
    tensors = quantize_weight(weight, SCHEMES["NF4"], "rtn")
    expected = torch.tensor([(2 * i << 4) | (2 * i + 1) for i in range(8)], dtype=torch.uint8)
    assert torch.equal(tensors["weight_packed"], expected.repeat(4).reshape(1, 32))
    assert torch.equal(tensors["weight_scale"], torch.full((1, 1), 3.5))
    assert torch.equal(dequantize_weight(tensors, SCHEMES["NF4"], torch.float32), weight)


PACKED = bytes.fromhex(
    "01b56d6480ee2ed0 845d65a1f06103eb d2ee1b7b0dd0a6a0 dd0b7b1ee2dbe301"
    "60f1a56d5480de2e e0846d65b1017115 ede3ff2dad1ee1c9 c1ee2dbe3004fe07"
)
"""What bitsandbytes 0.50.2 makes of `known_weight()` with blocks of 64 and scales as they are."""


def known_weight():
    """Two blocks of fractions that every machine computes alike: (2, 64) float32."""
    i = torch.arange(128)
    whole = (37 * i * i + 11 * i) % 257 - 128
    return whole.reshape(2, 64).float() / torch.tensor([[64.0], [3.0]])


def test_a_known_weight_is_packed_into_known_bytes():
    tensors = quantize_weight(known_weight(), SCHEMES["NF4"], "rtn")
    assert bytes(tensors["weight_packed"].flatten().tolist()) == PACKED
    assert torch.equal(tensors["weight_scale"], torch.tensor([[2.0], [128 / 3]]))


@pytest.mark.parametrize("shape", [(2, 64), (3, 128), (64, 256), (17, 640)])
def test_the_package_packs_and_reads_the_same(shape):
    functional = pytest.importorskip("bitsandbytes", reason="bitsandbytes is absent").functional
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight[0, 3], weight[-1, :64] = 0, 0
    weight = known_weight() if shape == (2, 64) else weight
    how = {"blocksize": 64, "quant_type": "nf4", "compress_statistics": False}
    theirs, state = functional.quantize_4bit(weight, **how)
    ours = quantize_weight(weight, SCHEMES["NF4"], "rtn")
    assert torch.equal(ours["weight_packed"].flatten(), theirs.flatten())
    assert torch.equal(
        dequantize_weight(ours, SCHEMES["NF4"], torch.float32),
        functional.dequantize_4bit(theirs, state),
    )
