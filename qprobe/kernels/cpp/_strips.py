"""The packing of the AVX512 kernels: strips of 16 rows of W, one element of each row to a register."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.quantize import codebook, group
from qprobe.quantize.scheme import canonical_names

STRIP = 16
CODES = 8
"""4-bit codes in a lane."""
BYTES = 4
"""8-bit codes in a lane."""
_SHIFTS = tuple(4 * (k // 2) + 16 * (k % 2) for k in range(CODES))
"""Where the code of each k of a lane lies: those of 2s and 2s + 1 in the two halves, at bit 4s."""


def pack_strips(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """Codes and scales of 4-bit or int8 weights, and zero points where the scheme has them.

    Of 4 bits: codes (S, K/8, 16) int32, scales (K/G, N) in the type they have, zero points (S, K/G, 2)
    int32, for S strips of 16 rows, the last one padded. Of 8 bits: codes (S, ⌈K/4⌉, 16, 4) int8, scales
    (1, N) float32, and (N,) int32 of −128 · Σ codes: what unsigned activations add to a row's sum.
    """
    strips = -(-spec.n // STRIP)
    codes, scale, *others = (tensors[name] for name in canonical_names(SCHEMES[spec.scheme]))
    scales = scale.t().contiguous()
    if codes.dtype == torch.int8:
        words = -(-spec.k // BYTES)
        padded = codes.new_zeros(strips * STRIP, words * BYTES)
        padded[: spec.n, : spec.k] = codes
        packed = padded.reshape(strips, STRIP, words, BYTES).transpose(1, 2).contiguous()
        return packed, scales, codes.sum(dim=1, dtype=torch.int32).mul_(-128)
    packed = _interleave(codes, strips)
    if len(others) < 2:
        return packed, scales
    words = STRIP // group.CODES_PER_WORD
    points = others[1].new_zeros(strips * words, others[1].shape[1])
    points[: len(others[1])] = others[1]
    return packed, scales, points.reshape(strips, words, -1).transpose(1, 2).contiguous()


def unpack_strips(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    """The canonical tensors, bit for bit."""
    names = canonical_names(SCHEMES[spec.scheme])
    codes, scales, *rest = packed
    scale = scales.t().clone(memory_format=torch.contiguous_format)
    if codes.dtype == torch.int8:
        flat = codes.transpose(1, 2).reshape(len(codes) * STRIP, -1)
        weight = flat[: spec.n, : spec.k].clone(memory_format=torch.contiguous_format)
        return dict(zip(names, (weight, scale), strict=True))
    found = [_separate(codes, spec), scale]
    if len(names) > len(found):
        found.append(torch.tensor([spec.n, spec.k], device=codes.device))
    if rest:
        points = rest[0].transpose(1, 2).reshape(-1, rest[0].shape[1])
        found.append(points[: -(-spec.n // group.CODES_PER_WORD)].clone())
    return dict(zip(names, found, strict=True))


def _interleave(codes: Tensor, strips: int) -> Tensor:
    """Canonical 4-bit codes of either kind → (S, K/8, 16) int32, a strip at a time."""
    is_integer = codes.dtype == torch.int32
    words = codes.shape[1] // (1 if is_integer else CODES // 2)
    packed = torch.empty(strips, words, STRIP, dtype=torch.int32, device=codes.device)
    for strip in range(strips):
        rows = codes[strip * STRIP : (strip + 1) * STRIP]
        if is_integer:
            unsigned = (group.unpack_codes(rows) - group.LOW).to(torch.int32)
        else:
            unsigned = codebook.unpack_indices(rows)
        lanes = _join(unsigned.reshape(len(rows), words, CODES))
        packed[strip, :, : len(rows)] = lanes.t()
        packed[strip, :, len(rows) :] = 0
    return packed


def _separate(packed: Tensor, spec: LayerSpec) -> Tensor:
    """(S, K/8, 16) int32 → the canonical codes (N, …) of the scheme."""
    is_integer = spec.scheme != "NF4"
    width = spec.k // (CODES if is_integer else 2)
    dtype = torch.int32 if is_integer else torch.uint8
    codes = torch.empty(spec.n, width, dtype=dtype, device=packed.device)
    shifts = torch.tensor(_SHIFTS, dtype=torch.int32, device=packed.device)
    for strip, lanes in enumerate(packed):
        rows = codes[strip * STRIP : (strip + 1) * STRIP]
        unsigned = (lanes.t()[: len(rows)].unsqueeze(-1) >> shifts) & 0xF
        flat = unsigned.reshape(len(rows), -1)
        if is_integer:
            rows.copy_(group.pack_codes(flat + group.LOW))
        else:
            rows.copy_(codebook.pack_indices(flat))
    return codes


def _join(unsigned: Tensor) -> Tensor:
    """Codes (…, 8) in 0 … 15 → lanes (…) int32."""
    shifted = unsigned << torch.tensor(_SHIFTS, dtype=torch.int32, device=unsigned.device)
    # The sum of disjoint bits is their union; the highest code may set the sign bit.
    return shifted.sum(dim=-1, dtype=torch.int32)
