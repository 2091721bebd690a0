"""4-bit weights in groups through torch's weight-only product on tensor cores, in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qprobe.kernels import _int4pack
from qprobe.kernels._kernel import Kernel, LayerSpec, any_code
from qprobe.kernels.torch_cuda import _operators
from qprobe.kernels.torch_cuda._capability import absent_before
from qprobe.quantize.group import LOW, unpack_codes

OLDEST = (8, 0)
WORDS = "torch's 4-bit product runs"
COLUMNS = 8
"""N of a tile."""
DEPTH = 16
"""K of a tile; 2, 4 or 8 of them are stored together, the more the wider the loads."""


def _refuse(spec: LayerSpec) -> str:
    if spec.activation_dtype != torch.bfloat16:
        return f"it takes bfloat16 activations only; these are {spec.activation_dtype}"
    if spec.n % COLUMNS:
        return f"it takes N in multiples of {COLUMNS}; N is {spec.n}"
    return ""


def _inner_tiles(k: int) -> int:
    """The most tiles that divide K: it is a multiple of a group, so that two always do."""
    return next(tiles for tiles in (8, 4, 2) if k % (tiles * DEPTH) == 0)


def _pack(tensors: dict[str, Tensor], spec: LayerSpec) -> Sequence[Tensor]:
    """Codes in torch's layout, and scale and offset (K/G, N, 2) of w = (q − 8) · s + offset."""
    codes = (unpack_codes(tensors["weight_packed"]) - LOW).to(torch.uint8)
    pairs = (codes[:, ::2] << 4) | codes[:, 1::2]
    both = _int4pack.scale_and_offset(tensors, spec.n)
    return _operators.convert_int4(pairs.contiguous(), _inner_tiles(spec.k)), both


def _unpack(packed: Sequence[Tensor], spec: LayerSpec) -> dict[str, Tensor]:
    return _int4pack.unpack(_operators.int4_mm, packed, spec)


def _run(
    x: Tensor,
    _x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    return _int4pack.run(_operators.int4_mm, x, packed, bias, out_dtype)


KERNEL = Kernel(
    id="cuda.int4pack",
    schemes=_int4pack.COMPUTED,
    device="cuda",
    packing="torch_int4_tiles",
    input="float",
    absent=absent_before(OLDEST, WORDS),
    max_code=any_code,
    refuse=_refuse,
    pack=_pack,
    unpack=_unpack,
    run=_run,
)
