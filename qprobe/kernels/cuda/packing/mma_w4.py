"""4-bit weights in the order of tensor-core fragments: integers in groups, with zero points or none, and NormalFloat.

`pack` gives the words (N/32, K/32, 32, 4) int32, the scales (N/32, K/G, 8, 4) in their own type and, for asymmetric
schemes, zero points (N/32, K/G, 8, 4) uint8; N is padded to 32 and K to 128, with scales of 0. In a word the 8 integers
stand in the order 0, 2, 4, 6, 1, 3, 5, 7 along K from the lowest bits, so that one mask yields two neighbours 16 bits
apart, as a pair of 16-bit numbers wants them. NormalFloat keeps its bytes: two neighbours are an index into 256 pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES, GroupWeights
from qprobe.errors import InputError
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda.packing._strips import (
    CHUNK,
    STRIP,
    order_groups,
    order_words,
    pad_to,
    restore_groups,
    restore_words,
    round_up,
    shape_tensor,
)
from qprobe.quantize.group import CODES_PER_WORD, SCALE_DTYPE

NIBBLES = (0, 2, 4, 6, 1, 3, 5, 7)
"""Place in a word, from the lowest bits → which of its 8 weights along K stands there."""
ZERO_CODE = 8
"""The code of 0 where there are no zero points."""
ALL_EIGHTS, ALL_SEVENS = -0x77777778, 0x77777777
"""Words that stand for zeros: of integers (0x88888888), and of NormalFloat, whose value 7 is 0."""


def pack(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """Words, scales and, for asymmetric schemes, zero points, from the canonical tensors of a layer."""
    scale = tensors["weight_scale"]
    integers = isinstance(SCHEMES[spec.scheme].weights, GroupWeights)
    wanted = SCALE_DTYPE if integers else torch.float32
    if scale.dtype != wanted:
        raise InputError(
            f"the scales of a {spec.scheme} weight are {scale.dtype}, the kernels read {wanted}",
            "quantize the layer again",
        )
    n, groups = round_up(spec.n, STRIP), _padded_groups(spec)
    words = tensors["weight_packed"]
    words = _shuffle(words, NIBBLES) if integers else words.contiguous().view(torch.int32)
    fill = ALL_EIGHTS if integers else ALL_SEVENS
    words = pad_to(words, n, round_up(spec.k, CHUNK) // CODES_PER_WORD, fill)
    packed = [order_words(words), order_groups(pad_to(scale, n, groups, 0))]
    if "weight_zero_point" in tensors:
        codes = _spread(tensors["weight_zero_point"])
        packed.append(order_groups(pad_to(codes, n, groups, ZERO_CODE)))
    return packed


def unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors."""
    words, scale, *zeros = packed
    groups = spec.k // SCHEMES[spec.scheme].block
    restored = restore_words(words)[: spec.n, : spec.k // CODES_PER_WORD].contiguous()
    scales = restore_groups(scale)[: spec.n, :groups].contiguous()
    if scale.dtype != SCALE_DTYPE:
        return {"weight_packed": restored.view(torch.uint8), "weight_scale": scales}
    tensors = {
        "weight_packed": _shuffle(restored, tuple(map(NIBBLES.index, range(CODES_PER_WORD)))),
        "weight_scale": scales,
        "weight_shape": shape_tensor(spec.n, spec.k, words.device),
    }
    if zeros:
        codes = restore_groups(zeros[0])[: round_up(spec.n, CODES_PER_WORD), :groups]
        tensors["weight_zero_point"] = _gather(codes)
    return tensors


def _padded_groups(spec: LayerSpec) -> int:
    return round_up(spec.k, CHUNK) // SCHEMES[spec.scheme].block


def _shuffle(words: Tensor, order: tuple[int, ...]) -> Tensor:
    """Words whose nibble i is nibble order[i] of the given ones."""
    result = torch.zeros_like(words)
    for place, source in enumerate(order):
        result |= ((words >> (4 * source)) & 0xF) << (4 * place)
    return result


def _spread(words: Tensor) -> Tensor:
    """Words (⌈N/8⌉, K/G) of zero points packed along N → (8·⌈N/8⌉, K/G) uint8."""
    shifts = torch.arange(0, 32, 4, dtype=torch.int32, device=words.device).reshape(1, -1, 1)
    codes = (words.unsqueeze(1) >> shifts) & 0xF
    return codes.to(torch.uint8).reshape(-1, words.shape[1])


def _gather(codes: Tensor) -> Tensor:
    """The inverse of `_spread`."""
    shifts = torch.arange(0, 32, 4, dtype=torch.int32, device=codes.device).reshape(1, -1, 1)
    parts = codes.to(torch.int32).reshape(-1, CODES_PER_WORD, codes.shape[1]) << shifts
    return parts.sum(dim=1, dtype=torch.int32)
