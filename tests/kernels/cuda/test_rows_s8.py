"""The packing for products of 8-bit integers: rows as they are, padded along K."""

import pytest
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda.packing import rows_s8
from qprobe.quantize.scheme import quantize_weight


@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 16), (33, 100), (128, 127)])
def test_rows_are_padded_with_zeros_and_given_back(n, k):
    weight = torch.randn(n, k, generator=torch.Generator().manual_seed(n))
    algorithm = next(iter(SCHEMES["W8A8"].algorithms))
    tensors = quantize_weight(weight, SCHEMES["W8A8"], algorithm)
    spec = LayerSpec("W8A8", n, k, torch.float16, 127, "cpu")
    codes, scales = rows_s8.pack(tensors, spec)
    assert codes.shape == (n, -(-k // 16) * 16)
    assert codes.is_contiguous()
    assert not codes[:, k:].any()
    assert torch.equal(codes[:, :k], tensors["weight"])
    assert torch.equal(scales, tensors["weight_scale"].reshape(-1))
    restored = rows_s8.unpack([codes, scales], spec)
    assert restored.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert restored[name].dtype == tensor.dtype
        assert torch.equal(restored[name], tensor)
