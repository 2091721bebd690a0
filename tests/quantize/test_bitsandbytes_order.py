"""NormalFloat codes lie as bitsandbytes reads them: two a byte, the first in the high half."""

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
