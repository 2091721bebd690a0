"""What is stored is, bit for bit, what the package compressed-tensors stores and reads."""

import pytest
import torch

from qprobe.documents.scheme import SCHEMES, GroupWeights
from qprobe.quantize.group import pack_codes, unpack_codes
from qprobe.quantize.scheme import dequantize_weight, quantize_weight

pytest.importorskip("compressed_tensors", reason="compressed-tensors, of the extra hf, is absent")
# Plain imports: where the package is there and these are not, the tests fail instead of vanishing.
import compressed_tensors.quantization as quantization
from compressed_tensors.compressors.pack_quantized import helpers as compressors
from compressed_tensors.quantization.lifecycle import forward

GROUPED = [s for s in SCHEMES.values() if isinstance(s.weights, GroupWeights)]


def weight_of(n, k):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(n + k))


@pytest.mark.parametrize("shape", [(1, 8), (3, 32), (17, 256), (5, 13)])
def test_words_are_packed_alike(shape):
    codes = torch.randint(
        -8, 8, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(1)
    )
    theirs = compressors.pack_to_int32(codes, num_bits=4)
    assert torch.equal(pack_codes(codes), theirs)
    assert torch.equal(unpack_codes(theirs)[:, : shape[1]], codes)


@pytest.mark.parametrize("scheme", GROUPED, ids=lambda s: s.name)
@pytest.mark.parametrize("n", [8, 17])
def test_group_weights_are_read_alike(scheme, n):
    tensors = quantize_weight(weight_of(n, 256), scheme, "mse")
    shape = torch.Size(tensors["weight_shape"].tolist())
    codes = compressors.unpack_from_int32(tensors["weight_packed"], 4, shape)
    point = None
    if "weight_zero_point" in tensors:
        points = torch.Size((n, 256 // scheme.block))
        point = compressors.unpack_from_int32(tensors["weight_zero_point"], 4, points, packed_dim=0)
    scale = tensors["weight_scale"].float()
    arguments = quantization.QuantizationArgs(**scheme.weights.model_dump())
    theirs = forward.dequantize(codes, scale, point, args=arguments, dtype=torch.float32)
    assert torch.equal(dequantize_weight(tensors, scheme, torch.float32), theirs)


@pytest.mark.parametrize("name", ["W8A8", "FP8_DYNAMIC"])
def test_channel_weights_are_read_alike(name):
    scheme = SCHEMES[name]
    tensors = quantize_weight(weight_of(9, 40), scheme, "rtn")
    arguments = quantization.QuantizationArgs(
        num_bits=8, type=scheme.weights.type, symmetric=True, strategy="channel"
    )
    theirs = forward.dequantize(
        tensors["weight"], tensors["weight_scale"], None, args=arguments, dtype=torch.float32
    )
    assert torch.equal(dequantize_weight(tensors, scheme, torch.float32), theirs)


@pytest.mark.parametrize(
    "scheme", [s for s in SCHEMES.values() if s.is_quantized], ids=lambda s: s.name
)
def test_schemes_are_written_in_words_that_the_package_takes(scheme):
    if scheme.name == "NF4":
        pytest.skip("the package has no NormalFloat")
    fields = scheme.weights.model_dump()
    arguments = quantization.QuantizationArgs(**fields)
    assert arguments.num_bits == scheme.weights.num_bits
    if scheme.input_activations is not None:
        quantization.QuantizationArgs(**scheme.input_activations.model_dump())
