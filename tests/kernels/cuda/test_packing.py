"""Packings give back what they took, bit for bit, and put each weight where the kernels look for it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qprobe.documents.scheme import SCHEMES, ChannelWeights, GroupWeights
from qprobe.errors import InputError
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda.packing import mma_w4, mma_w8
from qprobe.quantize.codebook import NF4
from qprobe.quantize.group import unpack_codes
from qprobe.quantize.scheme import canonical_names, quantize_weight

FOUR_BITS = ("W4A16", "W4A16_G64", "W4A16_G32", "W4A16_ASYM", "NF4")
EIGHT_BITS = ("W8A16", "W8A8")


def quantized(scheme, n, k, seed=0):
    weight = torch.randn(n, k, generator=torch.Generator().manual_seed(seed))
    algorithm = next(iter(SCHEMES[scheme].algorithms))
    spec = LayerSpec(scheme, n, k, torch.float16, 127, "cpu")
    return quantize_weight(weight, SCHEMES[scheme], algorithm), spec


def packing_of(scheme):
    return mma_w4 if scheme in FOUR_BITS else mma_w8


@st.composite
def layers(draw):
    scheme = draw(st.sampled_from((*FOUR_BITS, *EIGHT_BITS)))
    block = SCHEMES[scheme].block
    k = block * draw(st.integers(1, 300 // block)) if block > 1 else draw(st.integers(1, 300))
    return scheme, draw(st.integers(1, 100)), k


@given(layers())
def test_unpacking_gives_the_canonical_tensors(layer):
    scheme, n, k = layer
    tensors, spec = quantized(scheme, n, k)
    packing = packing_of(scheme)
    restored = packing.unpack(packing.pack(tensors, spec), spec)
    assert tuple(restored) == canonical_names(SCHEMES[scheme])
    for name, tensor in tensors.items():
        assert restored[name].dtype == tensor.dtype
        assert torch.equal(restored[name], tensor), name
        assert restored[name].is_contiguous()


@pytest.mark.parametrize("scheme", [*FOUR_BITS, *EIGHT_BITS])
def test_packed_tensors_are_whole_tiles(scheme):
    tensors, spec = quantized(scheme, 33, 128 if scheme in FOUR_BITS else 100)
    words, *others = packing_of(scheme).pack(tensors, spec)
    assert words.shape == ((2, 4, 32, 4) if scheme in FOUR_BITS else (2, 4, 2, 32, 4))
    assert words.dtype == torch.int32
    assert all(tensor.is_contiguous() for tensor in (words, *others))
    assert words.data_ptr() % 16 == 0
    if scheme in FOUR_BITS:
        assert all(tensor.shape == (2, 128 // SCHEMES[scheme].block, 8, 4) for tensor in others)


@pytest.mark.parametrize("scheme", FOUR_BITS)
def test_each_4_bit_weight_lies_where_its_lane_looks(scheme):
    tensors, spec = quantized(scheme, 70, 384)
    words, scales, *zeros = mma_w4.pack(tensors, spec)
    if isinstance(SCHEMES[scheme].weights, GroupWeights):
        codes = unpack_codes(tensors["weight_packed"]).int() + 8
        places = [mma_w4.NIBBLES.index(i) for i in range(8)]
    else:
        both = tensors["weight_packed"].int()
        codes = torch.stack([both >> 4, both & 15], dim=-1).reshape(70, 384)
        places = [1, 0, 3, 2, 5, 4, 7, 6]
    for n, k in [(0, 0), (1, 1), (7, 2), (8, 3), (31, 44), (32, 63), (69, 383), (45, 278)]:
        lane = 4 * (n % 8) + k % 32 // 8
        word = words[n // 32, k // 32, lane, n % 32 // 8].item()
        assert (word >> (4 * places[k % 8])) & 15 == codes[n, k]
        group = k // SCHEMES[scheme].block
        at = (n // 32, group, n % 8, n % 32 // 8)
        assert scales[at] == tensors["weight_scale"][n, group]
        if zeros:
            points = unpack_codes(tensors["weight_zero_point"].t()).t() + 8
            assert zeros[0][at] == points[n, group]


@pytest.mark.parametrize("scheme", EIGHT_BITS)
def test_each_8_bit_weight_lies_where_its_lane_looks(scheme):
    tensors, spec = quantized(scheme, 70, 301)
    words, scales = mma_w8.pack(tensors, spec)
    octets = words.view(torch.uint8).reshape(*words.shape, 4)
    for n, k in [(0, 0), (1, 1), (7, 2), (8, 3), (31, 44), (32, 63), (69, 300), (45, 278)]:
        lane = 4 * (n % 8) + k % 32 // 8
        part, feature = n % 32 // 16, n % 16 // 8
        word = octets[n // 32, k // 32, part, lane, 2 * feature + k % 8 // 4]
        assert word[(0, 2, 1, 3)[k % 4]].item() - 128 == tensors["weight"][n, k]
    assert torch.equal(scales[:70], tensors["weight_scale"][:, 0])


@pytest.mark.parametrize("scheme", ["W4A16_G32", "W4A16_ASYM", "NF4"])
def test_padding_stands_for_zeros(scheme):
    k = SCHEMES[scheme].block
    tensors, spec = quantized(scheme, 1, k)
    words, scales, *_ = mma_w4.pack(tensors, spec)
    fill = {0x77777777} if scheme == "NF4" else {-0x77777778}
    assert set(words[0, :, 4:].flatten().tolist()) == fill
    assert not scales[0, :, 1:].any()
    assert NF4[7] == 0


def test_padding_of_8_bits_stands_for_zeros():
    tensors, spec = quantized("W8A16", 1, 5)
    words, _ = mma_w8.pack(tensors, spec)
    octets = words.view(torch.uint8).flatten()
    assert (octets != 128).sum() <= 5


def test_zero_points_beyond_n_are_kept():
    tensors, spec = quantized("W4A16_ASYM", 3, 128)
    tensors["weight_zero_point"] = torch.full_like(tensors["weight_zero_point"], -0x12345678)
    restored = mma_w4.unpack(mma_w4.pack(tensors, spec), spec)
    assert torch.equal(restored["weight_zero_point"], tensors["weight_zero_point"])


def test_scales_of_another_type_are_refused():
    tensors, spec = quantized("W4A16", 3, 128)
    tensors["weight_scale"] = tensors["weight_scale"].to(torch.float16)
    with pytest.raises(InputError, match=r"W4A16 weight are torch\.float16"):
        mma_w4.pack(tensors, spec)


def test_every_integer_scheme_has_a_packing():
    packed = {*FOUR_BITS, *EIGHT_BITS}
    for name, scheme in SCHEMES.items():
        is_float8 = isinstance(scheme.weights, ChannelWeights) and scheme.weights.type == "float"
        assert (name in packed) == (scheme.is_quantized and not is_float8)
